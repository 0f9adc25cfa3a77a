"""A rank's weights, as torch's writer stores them, read without torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from neuron_whisper.errors import ArtifactCorrupt
from neuron_whisper.target.neuron.graph_signature import TensorSignature
from neuron_whisper.target.neuron.runtime.rank_weights import SAFETENSORS_DTYPES, RankWeights


def signature(dtype: str, *shape: int) -> TensorSignature:
    return TensorSignature(name="input0", shape=shape, dtype=dtype)


@pytest.mark.parametrize("dtype", sorted(set(SAFETENSORS_DTYPES.values())))
def test_a_tensor_is_read_to_the_bit_in_every_type(tmp_path: Path, dtype: str) -> None:
    stored = torch.tensor([[1.5, -2.25, 0.0], [3.0, 1e-3, 7.0]]).to(getattr(torch, dtype))
    save_file({"other": torch.zeros(3), "weight": stored}, tmp_path / "a")
    read = RankWeights(tmp_path / "a").read("weight", signature(dtype, 2, 3))
    assert read.tobytes() == stored.view(torch.uint8).numpy().tobytes()
    assert read.shape == (2, 3)
    read[:] = 0  # writable


def test_bfloat16_is_read_as_its_bits(tmp_path: Path) -> None:
    save_file({"weight": torch.tensor([1.0, -2.0], dtype=torch.bfloat16)}, tmp_path / "a")
    read = RankWeights(tmp_path / "a").read("weight", signature("bfloat16", 2))
    assert (read.dtype, read.tolist()) == (np.dtype(np.uint16), [0x3F80, 0xC000])


@pytest.mark.parametrize(
    ("name", "expected", "found"),
    [
        ("weight", signature("float32", 4), "float32 [2, 2]"),
        ("weight", signature("bfloat16", 2, 2), "float32 [2, 2]"),
        ("bias", signature("float32", 2, 2), "no such tensor"),
    ],
)
def test_another_shape_or_type_or_none_is_corrupt(
    tmp_path: Path, name: str, expected: TensorSignature, found: str
) -> None:
    save_file({"weight": torch.zeros(2, 2)}, tmp_path / "a")
    with pytest.raises(ArtifactCorrupt) as refused:
        RankWeights(tmp_path / "a").read(name, expected)
    assert (refused.value.found, refused.value.path) == (found, tmp_path / "a")


def test_a_file_that_is_cut_off_or_none_is_corrupt(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(64)}, tmp_path / "a")
    content = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(content[:-8])
    with pytest.raises(ArtifactCorrupt) as refused:
        RankWeights(tmp_path / "a").read("weight", signature("float32", 64))
    assert refused.value.found == "248"
    for wrong in (content[:20], b"", b"\x02\0\0\0\0\0\0\0no"):
        (tmp_path / "a").write_bytes(wrong)
        with pytest.raises(ArtifactCorrupt):
            RankWeights(tmp_path / "a")
    with pytest.raises(ArtifactCorrupt):
        RankWeights(tmp_path / "missing")
