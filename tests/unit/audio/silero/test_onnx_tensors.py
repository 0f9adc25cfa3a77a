"""Tensors of ONNX files: read, or refused by name."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuron_whisper.audio.silero.onnx_tensors import read_onnx_tensors
from neuron_whisper.errors import CheckpointError
from tests.support.onnx_files import encode_field


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_tensors_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.onnx"
    path.write_bytes(encode_field(7, content))
    with suppress(CheckpointError):  # and nothing else
        assert isinstance(read_onnx_tensors(path), list)
