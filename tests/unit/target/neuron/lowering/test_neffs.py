"""Signatures made of what NxD's builder knows; tests/neuron_sim compares those of NxD itself with the metaneff."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from neuron_whisper.errors import ArtifactIncompatible
from neuron_whisper.target.neuron.graph_signature import GraphSignature, metaneff_file, neff_file, read_signature
from neuron_whisper.target.neuron.lowering.neffs import SignatureUnknown, describe_graph, keep_neffs

S32, F32, BF16, S64 = 4, 11, 16, 5
ARGUMENTS = (torch.zeros(1, dtype=torch.int32), torch.zeros(1, 16, dtype=torch.int32))
PARAMETERS = {
    "layers.embedding": torch.zeros(8, 4, dtype=torch.bfloat16),
    "states.past": torch.zeros(3, 4, dtype=torch.bfloat16),
}


def shape(dtype: int, *dimensions: int) -> SimpleNamespace:
    return SimpleNamespace(element_type=dtype, dimensions=dimensions)


def artifacts(**changes: Any) -> Any:
    """What torch_neuronx's HloArtifacts are for a graph with one input of each use, of which an argument is unused."""
    program = SimpleNamespace(
        parameters=[shape(S32, 1, 16), shape(BF16, 8, 4), shape(BF16, 3, 4), shape(F32, 2)],
        result=SimpleNamespace(tuple_shapes=[shape(S32, 1), shape(F32, 5), shape(BF16, 3, 4)]),
    )
    alias = SimpleNamespace(output_shape_index=[2], parameter_number=2)
    made = {
        "hlo_module": SimpleNamespace(host_program_shape=program, input_output_alias=SimpleNamespace(entries=[alias])),
        "flattener": SimpleNamespace(layout=(0, 1), exclude=[0]),
        "weight_name_to_idx": {"layers.embedding": 1},
        "constant_parameter_tensors": {3: torch.tensor([1.0, 2.0])},
        "metaneff": b"metaneff",
    }
    return SimpleNamespace(**made | changes)


def describe(tag: str, bucket: int, one: Any) -> GraphSignature:
    return describe_graph(f"{tag} {8 + bucket}", one, ARGUMENTS, ["states.past"], PARAMETERS)


def test_every_input_has_its_use_and_every_state_its_new_value() -> None:
    graph = describe("decode", 0, artifacts())
    found = [(one.name, one.shape, one.dtype, one.use, one.position, one.key, one.value) for one in graph.inputs]
    assert found == [
        ("input0", (1, 16), "int32", "argument", 1, "", b""),
        ("input1", (8, 4), "bfloat16", "weight", 0, "layers.embedding", b""),
        ("input2", (3, 4), "bfloat16", "state", 0, "states.past", b""),
        ("input3", (2,), "float32", "constant", 0, "", b"\0\0\x80\x3f\0\0\0\x40"),
    ]
    assert [(one.name, one.shape, one.dtype, one.state) for one in graph.outputs] == [
        ("output0", (1,), "int32", ""),
        ("output1", (5,), "float32", ""),
        ("output2", (3, 4), "bfloat16", "states.past"),
    ]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"weight_name_to_idx": {}}, "parameter 1 is no argument, weight, state or constant"),
        ({"constant_parameter_tensors": None}, "parameter 3 is no argument"),
        ({"weight_name_to_idx": {"layers.embedding": 3, "states.past": 1}}, "expected bfloat16"),
        ({"flattener": SimpleNamespace(layout=(1, 0), exclude=[1])}, "argument 0 is int32 [1, 16], expected int32 [1]"),
    ],
)
def test_an_input_that_cannot_be_told_or_is_another_than_expected_is_refused(
    changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(SignatureUnknown) as refused:
        describe("decode", 0, artifacts(**changes))
    assert reason in str(refused.value)


def test_a_graph_of_other_results_or_of_64_bit_is_refused() -> None:
    for results in ([shape(S32, 1), shape(F32, 5)], [shape(S64, 1), shape(F32, 5), shape(BF16, 3, 4)]):
        made = artifacts()
        made.hlo_module.host_program_shape.result.tuple_shapes = results
        with pytest.raises(SignatureUnknown, match=r"has 2 results|XLA's type 5"):
            describe("decode", 0, made)


def make_builder(work: Path, *graphs: Any, priority: int | None = None) -> Any:
    for i in range(len(graphs)):
        folder = work / "decode" / f"_tp0_bk{i}"
        folder.mkdir(parents=True)
        (folder / "graph.neff").write_bytes(b"neff %d" % i)
    model = SimpleNamespace(priority_model_idx=priority, hlo_artifact_collection=graphs)
    return SimpleNamespace(model_collection={"decode": model})


def test_neffs_and_metaneffs_are_kept_by_the_graphs_names(tmp_path: Path) -> None:
    builder = make_builder(tmp_path / "work", artifacts(), artifacts())
    keep_neffs(tmp_path, builder, tmp_path / "work", 2, describe)
    signature = read_signature(tmp_path)
    assert (signature.tp, [graph.name for graph in signature.graphs]) == (2, ["decode 8", "decode 9"])
    assert neff_file(tmp_path, "decode 9").read_bytes() == b"neff 1"
    assert metaneff_file(tmp_path, "decode 9").read_bytes() == b"metaneff"


@pytest.mark.parametrize(
    ("graphs", "priority", "reason"),
    [
        ((artifacts(), artifacts(weight_name_to_idx={})), None, "graph decode 9: parameter 1"),
        ((artifacts(), artifacts(flattener=None)), None, "unknown of this release of NxD: AttributeError"),
        ((artifacts(),), 0, "priority_graph"),
    ],
)
def test_where_a_graph_cannot_be_described_no_neff_is_kept_and_the_reason_is(
    tmp_path: Path, graphs: tuple[Any, ...], priority: int | None, reason: str
) -> None:
    keep_neffs(tmp_path, make_builder(tmp_path / "work", *graphs, priority=priority), tmp_path / "work", 2, describe)
    assert [file.name for file in (tmp_path / "neffs").iterdir()] == ["signatures.json"]
    with pytest.raises(ArtifactIncompatible, match=reason):
        read_signature(tmp_path)


def test_a_builder_of_another_release_is_no_failure(tmp_path: Path) -> None:
    keep_neffs(tmp_path, object(), tmp_path / "work", 2, describe)
    with pytest.raises(ArtifactIncompatible, match="unknown of this release of NxD"):
        read_signature(tmp_path)
