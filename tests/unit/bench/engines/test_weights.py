"""Weights in a peer's format: taken as they are, or converted once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from neuron_whisper.bench.engines.weights import WeightsConverter
from neuron_whisper.errors import TargetUnavailable
from neuron_whisper.model.checkpoint import open_checkpoint


def converter(checkpoint: Path, directory: Path, lines: list[str]) -> WeightsConverter:
    return WeightsConverter(checkpoint=open_checkpoint(checkpoint), directory=directory, log=lines.append)


def test_a_format_is_converted_once_and_kept(tiny_checkpoint: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    weights = converter(tiny_checkpoint, tmp_path, lines)
    first = weights.locate_or_convert("ggml", "f16", sys.executable)
    again = weights.locate_or_convert("ggml", "f16", sys.executable)
    assert first == again
    assert first.name == "model.bin"
    assert first.read_bytes()[:4] == bytes.fromhex("6c6d6767")  # the magic, little-endian
    assert lines == ["converting the weights: ggml-f16"]


def test_a_checkpoint_of_the_format_is_taken_as_it_is(tiny_checkpoint: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    exported = converter(tiny_checkpoint, tmp_path, lines).locate_or_convert("huggingface", "", sys.executable)
    assert converter(exported, tmp_path / "other", lines).locate_or_convert("huggingface", "", "") == exported
    assert not (tmp_path / "other").exists()


def test_a_converter_that_fails_is_reported_and_leaves_nothing(tiny_checkpoint: Path, tmp_path: Path) -> None:
    weights = converter(tiny_checkpoint, tmp_path, [])
    with pytest.raises(TargetUnavailable, match="weights cannot be converted"):
        weights.locate_or_convert("ctranslate2", "int8", "/bin/false")
    assert [path.name for path in tmp_path.iterdir() if "ctranslate2" in path.name] == []
