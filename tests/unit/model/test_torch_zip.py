"""Files of torch.save: tensors by stride, and nothing that a pickle could run."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neuron_whisper.errors import CheckpointError
from neuron_whisper.model.checkpoint import expected_shapes, open_checkpoint
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
        (b"ctorch._utils\n_rebuild_tensor_v2\n}S'__call__'\nI1\nsb.", "the opcode STRING"),  # altering ours
        (b"(tQ.", "no storage"),
        (b"", "exhausted before seeing STOP"),
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


def write_zip(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("name", ["x/byteorder", "x/data.pkl"])
def test_a_member_that_unpacks_to_gigabytes_is_not_unpacked(name: str, tmp_path: Path) -> None:
    members = {"x/data.pkl": b"}.", "x/byteorder": b"little"} | {name: bytes(5 << 20)}
    path = write_zip(tmp_path / "model.pt", members, zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="of at most"):
        open_checkpoint(path)


def test_another_byte_order_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="little-endian"):
        open_checkpoint(write_zip(tmp_path / "model.pt", {"x/data.pkl": b"}.", "x/byteorder": b"big"}))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True), noise=st.binary(min_size=1, max_size=8))
def test_a_file_with_any_bytes_replaced_is_read_or_a_checkpoint_error(
    share: float, noise: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = write_openai(tmp_path_factory.mktemp("noise") / "model.pt")
    raw = bytearray(path.read_bytes())
    at = len(raw) - 1 - int((share**3) * len(raw))  # mostly in the pickle and the directory, which are at the end
    raw[at : at + len(noise)] = noise
    path.write_bytes(raw)
    try:
        checkpoint = open_checkpoint(path)
        shapes = {name: checkpoint.tensor(name).shape for name in checkpoint.parameter_names}
    except CheckpointError:
        return
    assert shapes == expected_shapes(checkpoint.dims)
