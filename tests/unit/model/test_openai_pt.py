"""OpenAI's .pt files, as torch writes them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from neuron_whisper.model.checkpoint import open_checkpoint
from tests.support.checkpoint_files import DIMS, WEIGHTS, all_equal


def test_a_pt_written_by_torch_is_read(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="not proved: that torch.save still writes what is read here")
    state = {name: torch.from_numpy(value.copy()) for name, value in WEIGHTS.items()}
    torch.save({"dims": asdict(DIMS), "model_state_dict": state}, tmp_path / "model.pt")
    assert all_equal(open_checkpoint(tmp_path / "model.pt"))
