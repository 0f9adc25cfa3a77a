"""Files of torch.save: tensors by stride, and nothing that a pickle could run."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from neuron_whisper.errors import CheckpointError
from neuron_whisper.model.checkpoint import open_checkpoint
from tests.support.checkpoint_files import WEIGHTS, all_equal, write_openai


def test_a_column_major_tensor_is_read_by_its_strides(tmp_path: Path) -> None:
    name = "decoder.blocks.0.mlp.0.weight"
    path = write_openai(tmp_path / "model.pt", WEIGHTS | {name: np.asfortranarray(WEIGHTS[name])})
    assert all_equal(open_checkpoint(path))


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        (b"cos\nsystem\n(S'touch pwned'\ntR.", r"found os\.system"),
        (b"cbuiltins\neval\n(S'1'\ntR.", r"found builtins\.eval"),
        (b"ctorch\nload\n(S'x'\ntR.", r"found torch\.load"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n}S'__call__'\nI1\nsb.", "AttributeError"),  # altering ours
        (b"(tQ.", "ValueError"),
        (b"", "EOFError"),
        (b"}.", "expected dims and model_state_dict"),
    ],
)
def test_a_pickle_that_names_anything_but_tensors_is_refused(
    payload: bytes, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as archive:
        archive.writestr("x/data.pkl", payload)
    with pytest.raises(CheckpointError, match=found):
        open_checkpoint(tmp_path / "model.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_a_tensor_larger_than_its_storage_is_refused(tmp_path: Path) -> None:
    path = write_openai(tmp_path / "model.pt")
    short = tmp_path / "short.pt"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(short, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name)[: 10 if name == "x/data/0" else None])
    with pytest.raises(CheckpointError, match=r"conv1.weight: expected 3840 bytes of storage, found 10"):
        open_checkpoint(short)
