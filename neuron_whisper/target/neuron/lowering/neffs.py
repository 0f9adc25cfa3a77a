"""Keeps each graph's NEFF and metaneff beside the bundle, with a signature made of what NxD's builder knows.

Facts used, and where they are public: a NEFF's tensors are input<i> and output<i>, i counting the HLO's parameters and
results (NxD trace/hlo_utils.prepare_metaneff_for_wlt_hlo, transformers-neuronx compiler.py); arguments come first, in
the order of the flattener's `layout` without `exclude` (NxD trace/functions._update_metaneff_with_user_input_key);
`weight_name_to_idx` has the weights' parameters; an alias in the HLO joins a state to its new value.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neuron_whisper.target.neuron.graph_signature import (
    GraphSignature,
    InputSignature,
    OutputSignature,
    ProgramSignature,
    metaneff_file,
    neff_file,
    write_signature,
)

# xla/xla_data.proto, PrimitiveType; the graphs have no 64-bit numbers
XLA_DTYPES = {1: "bool", 2: "int8", 3: "int16", 4: "int32", 6: "uint8", 10: "float16", 11: "float32", 16: "bfloat16"}
PLAIN_RESULTS = 2  # of every graph, before the states
LAYOUTS_CHANGED = "compiled with a priority_graph, which changes the layout of weights"


class SignatureUnknown(Exception):
    """What a graph's tensors are for cannot be told."""


def keep_neffs(
    directory: Path, builder: Any, work_dir: Path, tp: int, describe: Callable[[str, int, Any], GraphSignature]
) -> None:
    """Copy the NEFFs of NxD's `builder`, which has traced, into `directory`, and write their signature.

    `describe(tag, bucket, its HLO artifacts)` makes the signature of a graph. Where that fails no NEFF is kept and the
    signature says why: NxD's bundle does not need them.
    """
    graphs = []
    try:
        for tag, model in builder.model_collection.items():
            if model.priority_model_idx is not None:
                raise SignatureUnknown(LAYOUTS_CHANGED)
            for i, artifacts in enumerate(model.hlo_artifact_collection):
                graph = describe(tag, i, artifacts)
                graphs.append(graph)
                file = neff_file(directory, graph.name)
                file.parent.mkdir(exist_ok=True)
                folder = work_dir / tag / f"_tp0_bk{i}"
                shutil.copyfile(folder / "graph.neff", file)
                metaneff_file(directory, graph.name).write_bytes(artifacts.metaneff)
    except (SignatureUnknown, AttributeError, KeyError, TypeError, OSError) as error:  # of another NxD
        for graph in graphs:
            neff_file(directory, graph.name).unlink(missing_ok=True)
            metaneff_file(directory, graph.name).unlink(missing_ok=True)
        reason = (
            str(error)
            if isinstance(error, SignatureUnknown)
            else f"unknown of this release of NxD: {type(error).__name__}: {error}"
        )
        write_signature(directory, ProgramSignature(format=1, tp=tp, missing=reason))
    else:
        write_signature(directory, ProgramSignature(format=1, tp=tp, graphs=tuple(graphs)))


def describe_graph(
    name: str, artifacts: Any, arguments: Sequence[Tensor], states: Sequence[str], parameters: Mapping[str, Tensor]
) -> GraphSignature:
    """The signature of a graph traced on `arguments`, whose results are PLAIN_RESULTS and new values of `states`.

    `artifacts` are torch_neuronx's HloArtifacts; `parameters` the module's by name, weights and states. Raises
    SignatureUnknown, also where a shape or type is not the one expected.
    """
    shapes = artifacts.hlo_module.host_program_shape
    results = shapes.result.tuple_shapes
    if len(results) != PLAIN_RESULTS + len(states):
        raise SignatureUnknown(f"graph {name} has {len(results)} results, expected {PLAIN_RESULTS + len(states)}")
    outputs = [
        OutputSignature(**_describe(f"output{i}", shape), state=states[i - PLAIN_RESULTS] if i >= PLAIN_RESULTS else "")
        for i, shape in enumerate(results)
    ]
    uses = _find_uses(artifacts, outputs)
    inputs = [
        InputSignature(**_describe(f"input{i}", shape), **_find_use(name, i, uses))
        for i, shape in enumerate(shapes.parameters)
    ]
    for tensor in inputs:
        if tensor.use == "constant":
            continue
        expected = arguments[tensor.position] if tensor.use == "argument" else parameters[tensor.key]
        if (tuple(expected.shape), _dtype_name(expected)) != (tensor.shape, tensor.dtype):
            found = f"{tensor.use} {tensor.key or tensor.position} is {tensor.dtype} {list(tensor.shape)}"
            raise SignatureUnknown(f"graph {name}: {found}, expected {_dtype_name(expected)} {list(expected.shape)}")
    return GraphSignature(name=name, inputs=tuple(inputs), outputs=tuple(outputs))


def _find_uses(artifacts: Any, outputs: Sequence[OutputSignature]) -> dict[int, dict[str, Any]]:
    """Number of a parameter -> what it is for, as fields of InputSignature."""
    excluded = artifacts.flattener.exclude or ()
    given = [position for position in artifacts.flattener.layout if position not in excluded]
    uses: dict[int, dict[str, Any]] = {i: {"use": "argument", "position": at} for i, at in enumerate(given)}
    uses |= {i: {"use": "weight", "key": key} for key, i in artifacts.weight_name_to_idx.items()}
    for i, value in (artifacts.constant_parameter_tensors or {}).items():
        uses[i] = {"use": "constant", "value": value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes()}
    for entry in artifacts.hlo_module.input_output_alias.entries:
        output = outputs[entry.output_shape_index[0]]
        uses[entry.parameter_number] = {"use": "state", "key": output.state}
    return uses


def _find_use(graph: str, number: int, uses: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
    if number not in uses:
        raise SignatureUnknown(f"graph {graph}: parameter {number} is no argument, weight, state or constant")
    return uses[number]


def _describe(name: str, shape: Any) -> dict[str, Any]:
    if shape.element_type not in XLA_DTYPES:
        raise SignatureUnknown(f"{name} has XLA's type {shape.element_type}")
    return {"name": name, "shape": tuple(shape.dimensions), "dtype": XLA_DTYPES[shape.element_type]}


def _dtype_name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
