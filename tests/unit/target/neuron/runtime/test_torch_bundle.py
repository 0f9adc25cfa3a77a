"""TorchBundle on a bundle in the form of NxD's; tests/neuron_sim loads NxD's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from neuron_whisper.errors import DeviceError
from neuron_whisper.profile import TargetTable
from neuron_whisper.target.neuron.runtime.torch_bundle import TorchBundle
from neuron_whisper.target.registry import missing_packages
from tests.support.stub_neuron import StubNeuron

pytestmark = [
    pytest.mark.skipif(not missing_packages("neuron"), reason="the Neuron packages are here, and are not replaced"),
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
]
TARGET = TargetTable(name="neuron", tp=2, dtype="bfloat16")


class Program(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ranks = 0

    def forward(self, inputs: list[Tensor]) -> tuple[Tensor, Tensor]:
        if len(inputs) > 2:
            raise ValueError("no such shape")
        return inputs[1] + self.ranks, inputs[0].float() * int(inputs[0].dtype == torch.bfloat16)

    @torch.jit.export
    def initialize(self, weights: list[dict[str, Tensor]], start: Tensor) -> None:
        if int(weights[0]["bad"]) == 1:
            raise RuntimeError("NeuronCore(s) not available - Requested:2 Available:0")
        self.ranks = len(weights)


class Bundle(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.nxd_model = Program()

    def forward(self, x: Tensor) -> Tensor:
        return x


def write(directory: Path, *, bad: int = 0) -> None:
    torch.jit.save(torch.jit.script(Bundle()), directory / "graphs.pt")
    (directory / "weights").mkdir()
    for rank in range(2):
        save_file({"bad": torch.tensor([bad])}, directory / "weights" / f"tp{rank}.safetensors")


def test_numbers_are_cast_to_the_profiles_type_and_whole_ones_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    StubNeuron(tmp_path / "stub", monkeypatch)
    write(tmp_path)
    bundle = TorchBundle.load(tmp_path, TARGET, "")
    ints, floats = bundle(np.array([1.00390625, 2.5], np.float32), np.array([5], np.int32))
    assert [ints.tolist(), ints.dtype.name] == [[7], "int32"]
    assert [floats.tolist(), floats.dtype.name] == [[1.0, 2.5], "float32"]  # the first was halfway between two


def test_an_error_of_the_program_is_a_runtime_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    StubNeuron(tmp_path / "stub", monkeypatch)
    write(tmp_path)
    with pytest.raises(RuntimeError, match="no such shape"):
        TorchBundle.load(tmp_path, TARGET, "")(*[np.zeros(1, np.int32)] * 3)


def test_a_failed_load_is_a_device_error_with_the_runtimes_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    StubNeuron(tmp_path / "stub", monkeypatch)
    write(tmp_path, bad=1)
    with pytest.raises(DeviceError, match="NeuronCore"):
        TorchBundle.load(tmp_path, TARGET, "NEURON_RT_NUM_CORES=2")
