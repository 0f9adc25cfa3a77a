"""NrtpyGraphs over a small program; tests/neuron_sim runs the contract of sessions on it, with NxD's graphs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from neuron_whisper.errors import ArtifactCorrupt, ArtifactIncompatible, DeviceError, TargetUnavailable
from neuron_whisper.target.neuron.graph_signature import (
    GraphSignature,
    InputSignature,
    OutputSignature,
    ProgramSignature,
    neff_file,
    write_signature,
)
from neuron_whisper.target.neuron.runtime.nrtpy_graphs import NrtpyGraphs, RankLoader, cast_argument, to_bfloat16_bits
from tests.support.nrtpy_stand_in import Buffers, NrtpyTensor, TensorMetadata, make_nrtpy


def graph(name: str, *arguments: InputSignature) -> GraphSignature:
    """A graph of these arguments, given last first, a weight, a state and a constant."""
    return GraphSignature(
        name=name,
        inputs=(
            *reversed(arguments),
            InputSignature(name="weight", shape=(1,), dtype="bfloat16", use="weight", key="layers.w"),
            InputSignature(name="past", shape=(2,), dtype="int32", use="state", key="states.past"),
            InputSignature(name="bias", shape=(1,), dtype="float32", use="constant", value=b"\0\0\0\x3f"),
        ),
        outputs=(
            OutputSignature(name="ints", shape=(2,), dtype="int32"),
            OutputSignature(name="floats", shape=(2,), dtype="float32"),
            OutputSignature(name="new past", shape=(2,), dtype="int32", state="states.past"),
        ),
    )


ENCODE = graph(
    "encode 1",
    InputSignature(name="mel", shape=(2,), dtype="bfloat16", use="argument", position=0),
    InputSignature(name="slots", shape=(1,), dtype="int32", use="argument", position=1),
)
STEP = graph("decode 1", InputSignature(name="tokens", shape=(2,), dtype="int32", use="argument"))
GRAPHS = {it.name: it for it in (ENCODE, STEP)}
MEL, SLOTS = np.array([1.00390625, 0.1], np.float32), np.array([7], np.int32)


class SmallProgram:
    """encode: past = slots; decode: past += tokens; floats are the ranks' weights summed plus bias, and mel's bits."""

    def __init__(self, signature: GraphSignature, ranks: int) -> None:
        self.has_collectives = ranks > 1
        self.inputs = {it.name: TensorMetadata(it.shape, it.size_bytes) for it in signature.inputs}
        self.outputs = {it.name: TensorMetadata(it.shape, it.size_bytes) for it in signature.outputs}

    def run(self, ranks: Sequence[Buffers]) -> list[Buffers]:
        total = sum(widen(own["weight"])[0] for own in ranks) + ranks[0]["bias"].view(np.float32)[0]
        found: list[Buffers] = []
        for own in ranks:
            is_encode = "mel" in own
            given = own["slots" if is_encode else "tokens"].view(np.int32)
            past = np.repeat(given, 2) if is_encode else own["past"].view(np.int32) + given
            floats = np.array([total, widen(own["mel"])[0] if is_encode else 0], np.float32)
            outputs = {"ints": past, "floats": floats, "new past": past}
            found.append({name: array.astype(array.dtype).view(np.uint8) for name, array in outputs.items()})
        return found


def widen(memory: Any) -> Any:
    return (memory.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


def write_artifact(directory: Path, tp: int = 2, *graphs: GraphSignature) -> None:
    graphs = graphs or (ENCODE, STEP)
    write_signature(directory, ProgramSignature(format=1, tp=tp, graphs=graphs))
    (directory / "weights").mkdir()
    for rank in range(tp):
        weights = {"layers.w": torch.tensor([1.5 + rank], dtype=torch.bfloat16), "layers.unused": torch.zeros(9)}
        save_file(weights, directory / "weights" / f"tp{rank}.safetensors")
    for each in graphs:
        neff_file(directory, each.name).write_text(each.name)


@pytest.fixture
def nrtpy(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A stand-in for nrtpy, whose NEFFs are names of the graphs above."""
    module = make_nrtpy(lambda neff, ranks: SmallProgram(GRAPHS[neff.decode()], ranks))
    monkeypatch.setitem(sys.modules, "nrtpy", module)
    return module


@pytest.mark.usefixtures("nrtpy")
@pytest.mark.parametrize(("tp", "total"), [(1, 2.0), (2, 4.5), (3, 8.0)])
def test_graphs_share_states_sum_over_ranks_and_are_routed_by_shapes(tmp_path: Path, tp: int, total: float) -> None:
    write_artifact(tmp_path, tp)
    graphs = NrtpyGraphs.load(tmp_path, tp, "")
    ints, floats = graphs(MEL, SLOTS)
    assert (ints.tolist(), floats.tolist()) == ([7, 7], [total, 1.0])  # mel rounded to the even one of two
    for step in (1, 2):
        ints, floats = graphs(np.array([1, 10], np.int32))
        assert (ints.tolist(), floats[0]) == ([7 + step, 7 + 10 * step], total)
    assert (ints.dtype.name, floats.dtype.name) == ("int32", "float32")
    graphs.close()


def test_a_states_new_value_is_bound_to_its_own_tensor_and_weights_are_loaded_once(
    tmp_path: Path, nrtpy: ModuleType
) -> None:
    write_artifact(tmp_path, 1, ENCODE, STEP)
    loader = RankLoader(nrtpy, tmp_path, 0, 2)
    encode, step = loader.load(ENCODE), loader.load(STEP)
    assert encode.outputs["new past"] is encode.inputs["past"] is step.inputs["past"] is step.outputs["new past"]
    assert encode.inputs["weight"] is step.inputs["weight"]
    assert encode.results[0] is not step.results[0]
    assert [tensor.name for tensor in encode.arguments] == ["mel", "slots"]


def test_a_ranks_tensors_and_model_are_on_its_core(tmp_path: Path, nrtpy: ModuleType) -> None:
    write_artifact(tmp_path, 2)
    loaded = RankLoader(nrtpy, tmp_path, 1, 2).load(STEP)
    tensors = (*loaded.inputs.values(), *loaded.outputs.values())
    assert [loaded.model.core_id, *(tensor.core_id for tensor in tensors)] == [1] * 8


@pytest.mark.usefixtures("nrtpy")
def test_device_memory_is_freed_on_close(tmp_path: Path) -> None:
    write_artifact(tmp_path, 2)
    before = NrtpyTensor.allocated
    graphs = NrtpyGraphs.load(tmp_path, 2, "")
    graphs(MEL, SLOTS)
    per_rank = 2 + 8 + (4 + 4 + 4 + 8 + 8) + (4 + 8 + 8 + 8)  # shared; each graph's bias, arguments and results
    assert NrtpyTensor.allocated - before == 2 * per_rank
    graphs.close()
    graphs.close()
    assert NrtpyTensor.allocated == before


@pytest.mark.usefixtures("nrtpy")
@pytest.mark.parametrize(
    ("inputs", "outputs", "expected", "found"),
    [
        ({"past": (3,)}, {}, "past of 12 bytes", "past of 8 bytes"),
        ({"past": None}, {}, "no tensor but tokens, weight, bias", "past of 8 bytes"),
        ({}, {"floats": (1,)}, "floats of 4 bytes", "floats of 8 bytes"),
    ],
)
def test_a_neff_of_other_tensors_than_its_signature_is_corrupt(
    tmp_path: Path, inputs: dict[str, Any], outputs: dict[str, Any], expected: str, found: str
) -> None:
    def change(tensors: Any, shapes: dict[str, Any]) -> Any:
        kept = (it for it in tensors if shapes.get(it.name, ()) is not None)
        return tuple(msgspec.structs.replace(it, shape=shapes.get(it.name, it.shape)) for it in kept)

    changed = msgspec.structs.replace(STEP, inputs=change(STEP.inputs, inputs), outputs=change(STEP.outputs, outputs))
    write_artifact(tmp_path, 1, changed)
    with pytest.raises(ArtifactCorrupt) as refused:
        NrtpyGraphs.load(tmp_path, 1, "")
    assert (refused.value.expected, refused.value.found) == (expected, found)


def test_a_neff_may_lack_an_unused_input_and_a_state_written_in_place_but_no_result(
    tmp_path: Path, nrtpy: ModuleType
) -> None:
    class Fewer(SmallProgram):
        def __init__(self, *without: str) -> None:
            super().__init__(STEP, 1)
            self.inputs = {name: info for name, info in self.inputs.items() if name not in without}
            self.outputs = {name: info for name, info in self.outputs.items() if name not in without}

    write_artifact(tmp_path, 1, STEP)
    module = make_nrtpy(lambda neff, ranks: Fewer("bias", "new past"))
    loaded = RankLoader(module, tmp_path, 0, 2).load(STEP)
    assert (list(loaded.inputs), list(loaded.outputs)) == (["tokens", "weight", "past"], ["ints", "floats"])
    with pytest.raises(ArtifactCorrupt, match="floats"):
        RankLoader(make_nrtpy(lambda neff, ranks: Fewer("floats")), tmp_path, 0, 2).load(STEP)
    assert nrtpy.NrtpyModel.__name__ == "NrtpyModel"


@pytest.mark.usefixtures("nrtpy")
def test_an_artifact_without_neffs_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(ArtifactIncompatible, match="NEFFs"):
        NrtpyGraphs.load(tmp_path, 1, "")


def test_the_runtimes_message_is_a_device_error_with_the_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(neff: bytes, ranks: int) -> SmallProgram:
        raise RuntimeError("NRT Error NRT_FAILURE(6): nrt_init")

    monkeypatch.setitem(sys.modules, "nrtpy", make_nrtpy(refuse))
    write_artifact(tmp_path, 2)
    before = set(threading.enumerate())
    with pytest.raises(DeviceError, match=r"(?s)NEURON_RT_NUM_CORES=2.*NRT_FAILURE\(6\)"):
        NrtpyGraphs.load(tmp_path, 2, "NEURON_RT_NUM_CORES=2")
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
    assert set(threading.enumerate()) <= before


def test_another_package_of_that_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nrtpy", ModuleType("nrtpy"))
    write_artifact(tmp_path, 1)
    with pytest.raises(TargetUnavailable) as refused:
        NrtpyGraphs.load(tmp_path, 1, "")
    assert "pip.repos.neuron.amazonaws.com" in refused.value.install


def test_arguments_are_cast_to_the_graphs_type() -> None:
    values = np.array([1.0, 70000.0], np.float32)
    assert cast_argument(values, "float32").dtype.name == "float32"
    assert cast_argument(values[:1], "float16").view(np.uint16).tolist() == [0x3C00]
    assert cast_argument(values, "bfloat16").tolist() == [0x3F80, 0x4789]
    strided = cast_argument(np.arange(6, dtype=np.int32)[::2], "int32")
    assert (strided.tolist(), strided.flags.c_contiguous) == ([0, 2, 4], True)


@given(st.lists(st.floats(width=32), min_size=1, max_size=50))
def test_bfloat16_is_rounded_as_torch_rounds_it(values: list[float]) -> None:
    array = np.array(values, np.float32)
    wanted = torch.tensor(array).to(torch.bfloat16)
    found = to_bfloat16_bits(array)
    numbers = ~np.isnan(array)
    assert found[numbers].tolist() == wanted.view(torch.uint16).numpy()[numbers].tolist()
    assert np.isnan(widen(found)[~numbers]).all()
