"""Converts weights to a peer's format by the peer's own converter, in the peer's python; bench/engines/weights runs it.

`python -m neuron_whisper.bench.engines.peer_converters openai weights.npz model.pt`; genai's and nxdi's variant
follows.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from neuron_whisper.bench.engines.nxdi_whisper import compile_for_nxdi


def convert_to_openai(source: Path, destination: Path) -> None:
    """An .npz of openai/whisper's names, and "dims" as JSON, -> a .pt that whisper.load_model reads."""
    import torch

    with np.load(source) as stored:
        state = {name: torch.from_numpy(stored[name]) for name in stored.files if name != "dims"}
        torch.save({"dims": json.loads(str(stored["dims"])), "model_state_dict": state}, destination)


def convert_to_ctranslate2(source: Path, destination: Path) -> None:
    """A Hugging Face directory -> a CTranslate2 one, float16."""
    from ctranslate2.converters import TransformersConverter

    copied = [name for name in ("tokenizer.json", "preprocessor_config.json") if (source / name).is_file()]
    TransformersConverter(str(source), copy_files=copied).convert(str(destination), quantization="float16", force=True)


def convert_to_genai(source: Path, destination: Path, variant: str = "default") -> None:
    """A Hugging Face directory -> what openvino_genai reads: the decoder with its state; weights in float16, or in int8
    by nncf's compression, which optimum-cli calls."""
    # its command, not its function: only the command converts the tokenizer too. By way of this package, which turns
    # OpenVINO's telemetry off
    command = [
        sys.executable,
        "-c",
        "import runpy, neuron_whisper; runpy.run_module('optimum.commands.optimum_cli', run_name='__main__')",
        "export",
        "openvino",
        "--model",
        str(source),
        "--task",
        "automatic-speech-recognition-with-past",
        "--weight-format",
        "int8" if variant == "int8" else "fp16",
        str(destination),
    ]
    subprocess.run(command, check=True)  # noqa: S603 - a fixed command and two paths
    if not (destination / "openvino_detokenizer.xml").exists():
        raise SystemExit("optimum-cli made no tokenizer: openvino-tokenizers is not installed, or does not fit")


CONVERTERS: Mapping[str, Callable[..., None]] = {
    "openai": convert_to_openai,
    "ctranslate2": convert_to_ctranslate2,
    "genai": convert_to_genai,
    "nxdi": compile_for_nxdi,
}

if __name__ == "__main__":
    form, one, other, *variant = sys.argv[1:]
    CONVERTERS[form](Path(one), Path(other), *variant)
