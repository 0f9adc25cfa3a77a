"""Signatures of graphs: written, read back, and what is refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from neuron_whisper.errors import ArtifactCorrupt, ArtifactIncompatible
from neuron_whisper.target.neuron.graph_signature import (
    GraphSignature,
    InputSignature,
    OutputSignature,
    ProgramSignature,
    metaneff_file,
    neff_file,
    read_signature,
    write_signature,
)

GRAPH = GraphSignature(
    name="align 16",
    inputs=(
        InputSignature(name="input0", shape=(1, 16), dtype="int32", use="argument", position=1),
        InputSignature(name="input1", shape=(1,), dtype="int32", use="argument", position=0),
        InputSignature(name="input2", shape=(4, 8), dtype="bfloat16", use="weight", key="layers.a.weight"),
        InputSignature(name="input3", shape=(2,), dtype="float16", use="constant", value=b"\x00\x3c\x00\x40"),
    ),
    outputs=(
        OutputSignature(name="output0", shape=(1,), dtype="int32"),
        OutputSignature(name="output1", shape=(2, 16), dtype="float32"),
        OutputSignature(name="output2", shape=(3,), dtype="float32", state="states.cross_k_0"),
    ),
)


def write(directory: Path, *graphs: GraphSignature, missing: str = "") -> None:
    write_signature(directory, ProgramSignature(format=1, tp=2, graphs=graphs, missing=missing))
    for graph in graphs:
        neff_file(directory, graph.name).touch()


def test_a_signature_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    write(tmp_path, GRAPH)
    assert read_signature(tmp_path) == ProgramSignature(format=1, tp=2, graphs=(GRAPH,))


def test_arguments_are_in_the_order_of_a_call_and_results_are_not_states() -> None:
    assert [tensor.name for tensor in GRAPH.arguments] == ["input1", "input0"]
    assert [tensor.name for tensor in GRAPH.results] == ["output0", "output1"]
    assert [tensor.size_bytes for tensor in GRAPH.inputs] == [64, 4, 64, 4]


def test_files_are_named_by_the_graph() -> None:
    assert neff_file(Path("a"), "decode 8") == Path("a/neffs/decode_8.neff")
    assert metaneff_file(Path("a"), "decode 8") == Path("a/neffs/decode_8.metaneff")


def test_an_artifact_from_before_neffs_were_kept_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(ArtifactIncompatible) as refused:
        read_signature(tmp_path)
    assert refused.value.differences == {
        "NEFFs of the graphs": ("compiled before they were kept; compile it again", "nrtpy loads them")
    }


def test_the_reason_why_no_neff_was_kept_is_told(tmp_path: Path) -> None:
    write(tmp_path, missing="compiled with a priority model")
    with pytest.raises(ArtifactIncompatible, match="compiled with a priority model"):
        read_signature(tmp_path)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"dtype": "float8", "use": "weight"}, "input3 of bool, int8"),
        ({"shape": (3,)}, "input3 of 6 bytes"),
        ({"value": b""}, "input3 of 4 bytes"),
    ],
)
def test_a_type_without_a_size_and_a_constant_of_another_length_are_corrupt(
    tmp_path: Path, change: dict[str, object], expected: str
) -> None:
    changed = msgspec.structs.replace(GRAPH.inputs[3], **change)
    write(tmp_path, msgspec.structs.replace(GRAPH, inputs=(changed,)))
    with pytest.raises(ArtifactCorrupt) as refused:
        read_signature(tmp_path)
    assert expected in str(refused.value.expected)


def test_a_missing_neff_is_corrupt(tmp_path: Path) -> None:
    write(tmp_path, GRAPH)
    neff_file(tmp_path, GRAPH.name).unlink()
    with pytest.raises(ArtifactCorrupt) as refused:
        read_signature(tmp_path)
    assert refused.value.path == tmp_path / "neffs" / "align_16.neff"


@pytest.mark.parametrize("content", [b"", b"{}", b'{"format": 2, "tp": 1}', b'{"format": 1, "tp": 1, "more": 0}'])
def test_anything_else_is_corrupt(tmp_path: Path, content: bytes) -> None:
    write(tmp_path)
    (tmp_path / "neffs" / "signatures.json").write_bytes(content)
    with pytest.raises(ArtifactCorrupt):
        read_signature(tmp_path)
