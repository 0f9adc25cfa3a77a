"""Stored tensors: views of the file, in the values that were stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neuron_whisper.model.checkpoint import open_checkpoint
from tests.support.checkpoint_files import CT2, WEIGHTS, WRITERS, bfloat16_bits, write_bfloat16_hf


@pytest.mark.parametrize("form", WRITERS)
def test_tensors_are_read_only_aligned_and_as_stored(form: str, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(WRITERS[form](tmp_path))
    for name in checkpoint.parameter_names:
        value = checkpoint.tensor(name)
        assert value.dtype == np.float16
        assert not value.flags.writeable
        assert value.flags.aligned


def test_bfloat16_becomes_float32_with_the_same_bits(tmp_path: Path) -> None:
    for path in (write_bfloat16_hf(tmp_path / "hf"), CT2(kind="bfloat16").write(tmp_path / "ct2")):
        checkpoint = open_checkpoint(path)
        assert checkpoint.dtype == "bfloat16"
        for name, value in WEIGHTS.items():
            wanted = (bfloat16_bits(value).astype(np.uint32) << 16).view(np.float32)
            assert np.array_equal(checkpoint.tensor(name), wanted), name


@pytest.mark.parametrize("form", WRITERS)
def test_first_rows_are_those_of_the_whole_tensor(form: str, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(WRITERS[form](tmp_path))
    for name in checkpoint.tensors:
        for count in (1, 3, 1000):
            np.testing.assert_array_equal(checkpoint.first_rows(name, count), checkpoint.tensor(name)[:count])


@pytest.mark.parametrize("kind", ["int8", "int16", "bfloat16"])
def test_first_rows_have_their_scales(kind: str, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(CT2(kind=kind).write(tmp_path))
    for name in checkpoint.tensors:
        np.testing.assert_array_equal(checkpoint.first_rows(name, 2), checkpoint.tensor(name)[:2])
