"""Placeholders: what a written program holds, and how often its matrices are read for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import openvino as ov
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from openvino import opset13 as ops

from neuron_whisper.model.checkpoint import Checkpoint
from neuron_whisper.profile import CompileProfile, parse_profile
from neuron_whisper.target.cpu.lowering import graph_signatures
from neuron_whisper.target.cpu.lowering.constants import PLAIN, Packing, Placeholders, flush_denormals
from neuron_whisper.target.cpu.lowering.lowering import Lowering
from neuron_whisper.target.cpu.lowering.weights import WeightsFile
from tests.support import tiny_program
from tests.support.sessions import MemoryCheckpoint, compile_request
from tests.unit.target.cpu.lowering.test_frontend import describe
from tests.unit.target.cpu.lowering.test_lowering import ONE_LAYER
from tests.unit.target.cpu.lowering.test_lowering import PROGRAM as ANY_PROGRAM

PROGRAM = replace(ANY_PROGRAM, beams=1)
MATRICES = {name: np.full((6, 8), number, np.float32) for number, name in enumerate(("a", "b"), 3)}
TINY = float(np.finfo(np.float32).tiny)
HALVES = Packing(
    name="halves", results=[([3, 8], ov.Type.f32), ([3, 8], ov.Type.f32)], pack=lambda it: [it[:3], it[3:] + 1]
)
INTEGERS = Packing(name="integers", results=[([3, 8], ov.Type.i8)], pack=lambda it: [it.astype(np.int8)])


def program_profile(dtype: str, weights: str) -> CompileProfile:
    text = f'format = 1\n[target]\nname = "cpu"\ndtype = "{dtype}"\n[weights]\ndtype = "{weights}"'
    return parse_profile(text)


class CountingCheckpoint(MemoryCheckpoint):
    """Counts how often a parameter is read."""

    def __init__(self) -> None:
        super().__init__(tiny_program.parameters(ONE_LAYER))
        self.reads: Counter[str] = Counter()

    def tensor(self, name: str) -> np.ndarray:
        self.reads[name] += 1
        return super().tensor(name)


def product_of(placeholders: Placeholders, *names: str) -> ov.Model:
    x = ops.parameter([-1, 8], np.float32)
    results = [ops.matmul(x, placeholders.make(name, (6, 8)), False, True) for name in names]
    return ov.Model(results, [x])


@pytest.mark.parametrize(("dtype", "weights"), [("float32", "float32"), ("bfloat16", "bfloat16"), ("bfloat16", "int8")])
def test_a_written_graph_is_the_one_that_holds_all_values(dtype: str, weights: str, tmp_path: Path) -> None:
    request = compile_request(
        PROGRAM, program_profile(dtype, weights), cast("Checkpoint", CountingCheckpoint()), tmp_path
    )
    Lowering(request).write()
    content = ov.Tensor(np.fromfile(graph_signatures.weights_file(tmp_path), np.uint8))
    for name in ("encode_1", "decode_1"):
        written = ov.Core().read_model(graph_signatures.graph_file(tmp_path, name).read_bytes(), content)
        assert describe_values(written) == describe_values(Lowering(request).lower_graph(name))


def describe_values(model: ov.Model) -> list[tuple[object, object]]:
    return [(kind, values) for kind, *_, values in describe(model)]


def test_float16_matrices_are_those_of_a_float16_checkpoint(tmp_path: Path) -> None:
    stored = CountingCheckpoint()
    stored.dtype = "float16"
    profile = program_profile("float32", "float32")
    Lowering(compile_request(PROGRAM, profile, cast("Checkpoint", stored), tmp_path)).write()
    content = graph_signatures.weights_file(tmp_path).read_bytes()
    matrix = tiny_program.parameters(ONE_LAYER)["decoder.blocks.0.mlp.0.weight"]
    assert matrix.astype(np.float16).tobytes() in content
    assert matrix.tobytes() not in content


@pytest.mark.parametrize("weights", ["bfloat16", "int8"])
def test_a_matrix_is_read_once_for_all_graphs(weights: str, tmp_path: Path) -> None:
    stored = CountingCheckpoint()
    request = compile_request(PROGRAM, program_profile("bfloat16", weights), cast("Checkpoint", stored), tmp_path)
    Lowering(request).write()
    reads = {name: count for name, count in stored.reads.items() if name.endswith(("mlp.0.weight", "query.weight"))}
    assert set(reads.values()) == {1}
    assert len(reads) == 5


def test_products_of_one_input_with_several_matrices_stay_apart_when_a_graph_is_reshaped() -> None:
    placeholders = Placeholders(MATRICES.__getitem__)
    model = product_of(placeholders, "a", "b")
    model.reshape([2, 8])
    placeholders.fill(model)
    first, second = ov.Core().compile_model(model, "CPU")(np.ones((2, 8), np.float32)).values()
    assert (first[0, 0], second[0, 0]) == (24, 32)


def test_placeholders_take_no_memory() -> None:
    def resident_mb() -> int:
        fields = Path("/proc/self/statm").read_text().split()
        return int(fields[1]) * 4096 // 2**20

    before = resident_mb()
    placeholders = Placeholders(MATRICES.__getitem__)
    nodes = [placeholders.make(f"large{i}", (20_000, 20_000)) for i in range(20)]
    assert len({placeholders.identify(node) for node in nodes}) == 20
    assert resident_mb() - before < 100


def test_the_file_of_a_draft_holds_one_matrix_of_each_size(tmp_path: Path) -> None:
    placeholders = Placeholders(MATRICES.__getitem__)
    names = placeholders.save(product_of(placeholders, "a", "b"), tmp_path / "draft.xml", compress_to_fp16=False)
    assert {place.parameter for place in names.values()} == {"a", "b"}
    assert (tmp_path / "draft.bin").stat().st_size == MATRICES["a"].nbytes


def test_a_packing_of_a_packing_is_computed_from_its_result() -> None:
    placeholders = Placeholders(MATRICES.__getitem__)
    node = placeholders.make("a", (6, 8))
    _, lower = placeholders.pack(node, HALVES)
    (integers,) = placeholders.pack(lower, INTEGERS)
    place = placeholders.find(integers)
    assert place is not None
    np.testing.assert_array_equal(placeholders.compute(place), np.full((3, 8), 4, np.int8))
    np.testing.assert_array_equal(placeholders.read(lower), np.full((3, 8), 4, np.float32))


def test_results_of_a_packing_that_are_written_in_turn_are_computed_once() -> None:
    calls = []

    def pack(matrix: np.ndarray) -> list[np.ndarray]:
        calls.append(matrix)
        return [matrix[:3], matrix[3:]]

    placeholders = Placeholders(MATRICES.__getitem__)
    packing = Packing(name="counted", results=HALVES.results, pack=pack)
    places = [placeholders.find(it) for it in placeholders.pack(placeholders.make("a", (6, 8)), packing)]
    for place in places:
        assert place is not None
        placeholders.compute(place)
    assert len(calls) == 1


@pytest.mark.parametrize("make", [lambda it: PLAIN, lambda it: Placeholders(MATRICES.__getitem__)])
def test_a_constant_with_values_of_its_own_is_packed_at_once(make: Callable[[object], Placeholders]) -> None:
    upper, lower = make(None).pack(ops.constant(MATRICES["b"]), HALVES)
    np.testing.assert_array_equal(upper.data, MATRICES["b"][:3])
    np.testing.assert_array_equal(lower.data, MATRICES["b"][3:] + 1)


def test_constants_are_the_same_where_their_values_are() -> None:
    first, second, other = (ops.constant(MATRICES[name]) for name in "aab")
    assert PLAIN.identify(first) == PLAIN.identify(second) != PLAIN.identify(other)


def test_values_of_another_size_than_the_graphs_are_an_error(tmp_path: Path) -> None:
    placeholders = Placeholders(lambda name: np.zeros((2, 2), np.float32))
    names = placeholders.save(product_of(placeholders, "a"), tmp_path / "draft.xml", compress_to_fp16=False)
    with WeightsFile(tmp_path / "weights.bin", placeholders) as weights, pytest.raises(RuntimeError, match="16 bytes"):
        weights.add_model(tmp_path / "draft.xml", tmp_path / "final.xml", names)


@given(hnp.arrays(np.float32, 5, elements=st.floats(width=32)))
def test_denormal_numbers_become_zero_and_no_others(values: np.ndarray) -> None:
    expected = [0.0 if abs(value) < TINY else value for value in values.tolist()]
    np.testing.assert_array_equal(flush_denormals(values), np.array(expected, np.float32))
