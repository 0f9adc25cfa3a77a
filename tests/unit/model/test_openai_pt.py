"""OpenAI's .pt files, as torch writes them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from neuron_whisper.model.checkpoint import open_checkpoint
from tests.support.checkpoint_files import DIMS, WEIGHTS, all_equal, write_openai


def test_a_pt_written_by_torch_is_read(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="not proved: that torch.save still writes what is read here")
    state = {name: torch.from_numpy(value.copy()) for name, value in WEIGHTS.items()}
    torch.save({"dims": asdict(DIMS), "model_state_dict": state}, tmp_path / "model.pt")
    assert all_equal(open_checkpoint(tmp_path / "model.pt"))


def test_buffers_and_parameters_that_torch_stores_are_told_apart(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="not proved: how torch stores sparse buffers and parameters")
    state = {name: torch.nn.Parameter(torch.from_numpy(value.copy())) for name, value in WEIGHTS.items()}
    heads = torch.zeros(1, 2, dtype=torch.bool)
    heads[0, 1] = True
    buffers = {"alignment_heads": heads.to_sparse(), "decoder.mask": torch.zeros(5, 5, dtype=torch.int64)}
    torch.save({"dims": asdict(DIMS), "model_state_dict": state | buffers, "epoch": 3}, tmp_path / "model.pt")
    assert all_equal(open_checkpoint(tmp_path / "model.pt"))


def test_a_state_dict_of_a_module_keeps_its_metadata_to_itself(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="not proved: how torch stores a state dict's metadata")
    linear = torch.nn.Linear(2, 2).state_dict()  # an OrderedDict with _metadata
    linear.clear()
    linear.update({name: torch.from_numpy(value.copy()) for name, value in WEIGHTS.items()})
    torch.save({"dims": asdict(DIMS), "model_state_dict": linear}, tmp_path / "model.pt")
    assert all_equal(open_checkpoint(tmp_path / "model.pt"))


@pytest.mark.parametrize("prefix", ["module.", "model.", "module.model."])
def test_a_wrappers_prefix_is_left_out(prefix: str, tmp_path: Path) -> None:
    assert all_equal(
        open_checkpoint(write_openai(tmp_path / "a.pt", {prefix + name: value for name, value in WEIGHTS.items()}))
    )
