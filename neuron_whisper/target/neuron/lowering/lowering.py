"""Lowering for Neuron: shards the weights here, traces and compiles the graphs with NxD in a child process."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from neuron_whisper.errors import LoweringFailed
from neuron_whisper.graph.dtypes import TORCH_DTYPES
from neuron_whisper.model.sharding import check_tp, shard
from neuron_whisper.profile import CompileProfile
from neuron_whisper.target.interfaces import CompileRequest
from neuron_whisper.target.neuron.compile_process import CompileProcessRequest, compile_in_child
from neuron_whisper.target.neuron.instance import instance_family
from neuron_whisper.target.neuron.lowering.graphs import NeuronGraph, StatefulLayers, example_inputs

GRAPHS_FILE = "graphs.pt"
# Two physical cores are one logical core there, unless NEURON_LOGICAL_NC_CONFIG says otherwise.
LNC2_FAMILIES = ("trn2", "trn3")


def weights_file(directory: Path, rank: int) -> Path:
    return directory / "weights" / f"tp{rank}.safetensors"


def lower(request: CompileRequest) -> None:
    """Write `graphs.pt` and a file of weights per rank. Raises InvalidOption, LoweringFailed."""
    spec, profile, directory = request.spec, request.profile, request.directory
    check_tp(spec.dims, profile.target.tp)
    compiler_args(profile)  # raises for a contradiction before minutes are spent
    request.progress("tracing graphs", 0, None)
    directory.mkdir(parents=True, exist_ok=True)
    compile_in_child(
        spec,
        profile,
        directory / GRAPHS_FILE,
        request.progress,
        jobs=request.jobs,
        scratch=request.scratch,
        compile_cache=request.compile_cache,
    )
    write_weights(request)


def write_weights(request: CompileRequest) -> None:
    """Write each rank's parameters, by the sharding table, in the profile's type, under the graphs' names."""
    checkpoint, target = request.checkpoint, request.profile.target
    tp, dtype = target.tp, TORCH_DTYPES[target.dtype]
    for rank in range(tp):
        request.progress("sharding weights", rank, tp)
        tensors = {}
        for name in checkpoint.parameter_names:
            part = np.ascontiguousarray(shard(name, checkpoint.tensor(name), request.spec.dims, tp, rank))
            tensors[f"layers.{name}"] = torch.tensor(part).to(dtype)
        if tp > 1:
            tensors["layers.spmd.rank"] = torch.tensor([rank], dtype=torch.int32)
        file = weights_file(request.directory, rank)
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, file)
    request.progress("sharding weights", tp, tp)


def compiler_args(profile: CompileProfile) -> str:
    """The profile's arguments, with defaults for those it does not set.

    NxD appends -O1 unless it finds -O with a digit, and --auto-cast=none unless it finds that word, so both are
    always written in the form that NxD searches for. Raises LoweringFailed when an option has two values.
    """
    family = instance_family(profile.target.instance)
    given = _parse_options(profile.compiler.args)
    defaults = {"--auto-cast": "none", "-O": "1", "--model-type": "transformer"}
    if family in LNC2_FAMILIES:
        defaults["--lnc"] = "2"
    merged = {**given, **{name: value for name, value in defaults.items() if name not in given}}
    return " ".join(_format_option(name, value) for name, value in merged.items())


def _parse_options(args: Iterable[str]) -> dict[str, str | None]:
    """["--auto-cast", "none", "--optlevel=2"] -> {"--auto-cast": "none", "-O": "2"}"""
    other_names = {"--optlevel": "-O", "-lnc": "--lnc", "--logical-nc-config": "--lnc"}
    found: dict[str, str | None] = {}
    name = ""
    for word in (part for arg in args for part in shlex.split(arg)):
        if not word.startswith("-"):
            if not name or found[name] is not None:
                raise LoweringFailed("compiler.args", f"{word!r} belongs to no option")
            found[name] = word
            continue
        name, _, text = word.partition("=")
        value: str | None = text or None
        if name.startswith("-O") and name[2:].isdigit():
            name, value = "-O", name[2:]
        name = other_names.get(name, name)
        if name in found and found[name] != value:
            raise LoweringFailed("compiler.args", f"{name} is given twice: {found[name]!r} and {value!r}")
        found[name] = value
    return found


def _format_option(name: str, value: str | None) -> str:
    if name == "-O":
        return f"-O{value}"
    return name if value is None else f"{name}={shlex.quote(value)}"


def with_log_file(args: str, tag: str) -> str:
    """`args` with the name of the compiler's log, in its working directory, unless they name one.

    NxD would append the log's whole path, and the compile cache's key is a hash of the arguments.
    """
    return args if "--logfile" in args else f"{args} --logfile={tag}.log"


def _without_metadata() -> Mapping[str, Any]:
    """The argument that keeps ModelBuilder from writing paths of source files into the graphs, which are hashed.

    NxD before HloMetadataLevel writes none unless `debug` asks for them.
    """
    try:
        from neuronx_distributed.utils import HloMetadataLevel  # type: ignore[import-not-found] # no stubs
    except ImportError:
        return {}
    return {"debug": HloMetadataLevel.NONE}


class _ModelInstance:
    """NxD's BaseModelInstance (trace/model_builder.py): builds a graph once the parallel state is set up."""

    def __init__(self, graph: type[NeuronGraph], request: CompileProcessRequest) -> None:
        self._graph, self._request = graph, request
        self.module: NeuronGraph | None = None

    def load_module(self) -> None:
        from neuron_whisper.target.neuron.lowering.layers import NeuronLayers

        spec, target = self._request.spec, self._request.profile.target
        dtype = TORCH_DTYPES[target.dtype]
        layers: StatefulLayers = NeuronLayers(spec.dims, tp=target.tp, dtype=dtype)
        self.module = self._graph(spec, layers, dtype).eval()

    def get(self, bucket_rank: int, **_: Any) -> tuple[NeuronGraph, Mapping[torch.Tensor, int]]:
        assert self.module is not None, "load_module comes first"
        return self.module, self.module.aliases()


def trace_graphs(request: CompileProcessRequest) -> None:
    """Trace and compile every graph into one bundle. Called only in the child of compile_process, which then ends."""
    from neuronx_distributed.trace.model_builder import ModelBuilder  # type: ignore[import-not-found] # no stubs

    target = request.profile.target
    args = compiler_args(request.profile)
    lnc = _parse_options([args]).get("--lnc") or "1"
    builder = ModelBuilder(
        router=None,
        tp_degree=target.tp,
        checkpoint_loader=None,
        compiler_workdir=request.work_dir,
        logical_nc_config=int(lnc),
        **_without_metadata(),
    )
    graphs = example_inputs(request.spec, TORCH_DTYPES[target.dtype])
    routes = [str([list(x.shape) for x in inputs]) for _, buckets in graphs.values() for inputs in buckets]
    # NxD routes by these: of two equal ones, the later graph would silently run for both
    assert len(routes) == len(set(routes)), f"two graphs take the same shapes: {routes}"
    for tag, (graph, buckets) in graphs.items():
        builder.add(tag, _ModelInstance(graph, request), buckets, compiler_args=with_log_file(args, tag))
    bundle = builder.trace(initialize_model_weights=False)
    torch.jit.save(bundle, request.graphs_file)
