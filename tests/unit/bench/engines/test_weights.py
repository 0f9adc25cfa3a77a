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


def test_a_compiled_format_is_one_for_each_variant_and_toolchain(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Here the compiler is a python that only copies."""
    compiler = tmp_path / "compiler"
    compiler.write_text('#!/bin/sh\n[ "$4" = nxdi ] && cp -r "$5/." "$6" && echo "$7" > "$6/variant"\n')
    compiler.chmod(0o755)
    lines: list[str] = []

    def compile_with(variant: str, **toolchain: str) -> Path:
        weights = WeightsConverter(
            checkpoint=open_checkpoint(tiny_checkpoint),
            directory=tmp_path / "bench",
            toolchain=toolchain,
            log=lines.append,
        )
        return weights.locate_or_convert("nxdi", variant, str(compiler))

    first = compile_with("float16", cc="2.24")
    assert (first / "variant").read_text() == "float16\n"
    assert (first / "model.safetensors").exists()  # of the same checkpoint
    assert compile_with("float16", cc="2.24") == first
    others = {compile_with("float16-tp2", cc="2.24"), compile_with("float16", cc="2.25")}
    assert len({first, *others}) == 3
    assert sum(line.startswith("compiled in ") for line in lines) == 3


def test_int8_weights_of_genai_are_a_conversion_of_their_own_and_float32_computes_with_the_default_ones(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """Here optimum-cli is a python that writes down what it is asked for."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\n[ "$4" = genai ] && echo "$7" > "$6/variant"\n')
    python.chmod(0o755)
    weights = converter(tiny_checkpoint, tmp_path / "bench", [])
    default, float32, int8 = (
        weights.locate_or_convert("genai", it, str(python)) for it in ("default", "float32", "int8")
    )
    assert default == float32 != int8
    assert [(it / "variant").read_text() for it in (default, int8)] == ["default\n", "int8\n"]
