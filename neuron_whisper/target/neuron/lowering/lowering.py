"""Lowering for Neuron: shards the weights here, traces and compiles the graphs with NxD in a child process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from neuron_whisper.graph.dtypes import TORCH_DTYPES
from neuron_whisper.model.sharding import check_tp, shard
from neuron_whisper.target.interfaces import CompileRequest
from neuron_whisper.target.neuron.compile_process import CompileProcessRequest, compile_in_child, graph_labels
from neuron_whisper.target.neuron.graph_signature import GraphSignature
from neuron_whisper.target.neuron.lowering.compiler_flags import (
    GRAPH_TAGS,
    compiler_args,
    logical_cores,
    with_log_file,
)
from neuron_whisper.target.neuron.lowering.graphs import NeuronGraph, StatefulLayers, example_inputs
from neuron_whisper.target.neuron.lowering.layout import GRAPHS_FILE, weights_file
from neuron_whisper.target.neuron.lowering.neffs import describe_graph, keep_neffs


def lower(request: CompileRequest) -> None:
    """Write `graphs.pt`, the NEFFs and a file of weights per rank. Raises InvalidOption, LoweringFailed."""
    spec, profile, directory = request.spec, request.profile, request.directory
    check_tp(spec.dims, profile.target.tp)
    for tag in GRAPH_TAGS:
        compiler_args(profile, tag)  # raises for a contradiction before minutes are spent
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
    builder = ModelBuilder(
        router=None,
        tp_degree=target.tp,
        checkpoint_loader=None,
        compiler_workdir=request.work_dir,
        logical_nc_config=logical_cores(request.profile),
        **_without_metadata(),
    )
    graphs = example_inputs(request.spec, TORCH_DTYPES[target.dtype])
    routes = [str([list(x.shape) for x in inputs]) for _, buckets in graphs.values() for inputs in buckets]
    # NxD routes by these: of two equal ones, the later graph would silently run for both
    assert len(routes) == len(set(routes)), f"two graphs take the same shapes: {routes}"
    instances = {tag: _ModelInstance(graph, request) for tag, (graph, _) in graphs.items()}
    for tag, (_, buckets) in graphs.items():
        args = with_log_file(compiler_args(request.profile, tag), tag)
        # of the first bucket: a step graph has one
        priority = 0 if tag == request.profile.compiler.priority_graph else None
        builder.add(tag, instances[tag], buckets, compiler_args=args, priority_model_idx=priority)
    bundle = builder.trace(initialize_model_weights=False)
    torch.jit.save(bundle, request.graphs_file)

    def describe(tag: str, bucket: int, artifacts: Any) -> GraphSignature:
        name, module = graph_labels(request.spec)[f"{tag}/_tp0_bk{bucket}"], instances[tag].module
        assert module is not None, "the builder has traced it"
        states = [f"states.{state}" for state, _ in module.aliased_states()]
        return describe_graph(name, artifacts, graphs[tag][1][bucket], states, dict(module.named_parameters()))

    keep_neffs(Path(request.graphs_file).parent, builder, Path(request.work_dir), target.tp, describe)
