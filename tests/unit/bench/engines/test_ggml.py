"""whisper.cpp's model file, read back."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from neuron_whisper.bench.engines.ggml import quantize_q8_0, write_ggml
from neuron_whisper.model.checkpoint import open_checkpoint


def test_whisper_cpps_file_reads_back_as_the_checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(tiny_checkpoint)
    for variant, close in (("f16", 2e-3), ("q8_0", 2e-2)):
        write_ggml(checkpoint, variant, tmp_path / variant)
        header, tokens, tensors = _ggml((tmp_path / variant).read_bytes())
        assert header == (51864, 1500, 64, 1, 1, 448, 64, 1, 1, 80, {"f16": 1, "q8_0": 2007}[variant])
        assert (len(tokens), tokens[:3], tokens[220]) == (50256, [b"!", b'"', b"#"], b" ")
        assert set(tensors) == set(checkpoint.parameter_names)
        for name, value in tensors.items():
            expected = checkpoint.tensor(name)
            off = np.abs(value.reshape(expected.shape) - expected).max()
            assert off <= close * max(1.0, float(np.abs(expected).max())), name


def _ggml(content: bytes) -> tuple[tuple[int, ...], list[bytes], dict[str, Any]]:
    """(sizes, tokens, tensors), read to the last byte."""
    at = 0

    def take(fmt: str) -> tuple[Any, ...]:
        nonlocal at
        at += struct.calcsize(fmt)
        return struct.unpack_from(fmt, content, at - struct.calcsize(fmt))

    magic, *header = take("<12i")
    assert magic == 0x67676D6C
    n_mels, n_bins = take("<2i")
    at += 4 * n_mels * n_bins
    tokens = [take(f"<{take('<i')[0]}s")[0] for _ in range(take("<i")[0])]
    tensors = {}
    while at < len(content):
        n_dims, length, kind = take("<3i")
        shape = take(f"<{n_dims}i")[::-1]
        name = take(f"<{length}s")[0].decode()
        if kind == 8:
            blocks = np.frombuffer(content, np.dtype([("d", "<f2"), ("q", "i1", 32)]), np.prod(shape) // 32, at)
            tensors[name], size = blocks["q"] * blocks["d"].astype(np.float32)[:, None], blocks.nbytes
        else:
            values = np.frombuffer(content, "<f2" if kind else "<f4", int(np.prod(shape)), at)
            tensors[name], size = values.astype(np.float32), values.nbytes
        tensors[name] = tensors[name].reshape(shape)
        at += size
    return tuple(header), tokens, tensors


@given(st.lists(st.floats(-8, 8, width=32), min_size=32, max_size=32))
@example([2.0**-126] * 32)  # the scale is subnormal
def test_eight_bits_are_off_by_half_a_step_at_most(values: list[float]) -> None:
    packed = np.frombuffer(quantize_q8_0(np.array([values], np.float32)), np.dtype([("d", "<f2"), ("q", "i1", 32)]))
    step = float(np.abs(values).max()) / 127
    # and by the scale's own rounding to float16
    assert np.abs(packed["q"][0] * np.float32(packed["d"][0]) - values).max() <= 0.5 * step + 0.07 * step + 127 * 3e-8
