"""Weights in openai/whisper's file, read back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from neuron_whisper.bench.engines.peer_converters import CONVERTERS, convert_to_openai
from neuron_whisper.bench.engines.peers import PEERS


def test_every_format_of_a_peer_has_a_converter_of_its_own_or_of_the_project() -> None:
    own = {"ggml"}  # written by this package, see ggml.py
    assert {peer.weights_format for peer in PEERS.values()} == {*CONVERTERS, *own}


def test_an_openai_file_has_the_dims_and_the_tensors(tmp_path: Path) -> None:
    import torch

    dims = {"n_mels": 80, "n_vocab": 51864}
    weights = np.arange(6, dtype=np.float16).reshape(2, 3)
    np.savez(tmp_path / "weights.npz", allow_pickle=False, weight=weights, dims=np.array(json.dumps(dims)))
    convert_to_openai(tmp_path / "weights.npz", tmp_path / "model.pt")
    stored = torch.load(tmp_path / "model.pt", weights_only=True)
    assert stored["dims"] == dims
    assert np.array_equal(stored["model_state_dict"]["weight"].numpy(), weights)


@pytest.mark.parametrize(("variant", "width"), [((), "fp16"), (("float32",), "fp16"), (("int8",), "int8")])
def test_genai_gets_weights_in_the_width_of_its_variant(
    variant: tuple[str, ...], width: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr("subprocess.run", lambda command, **_: commands.append(command))
    (tmp_path / "openvino_detokenizer.xml").touch()
    CONVERTERS["genai"](Path("model"), tmp_path, *variant)
    [command] = commands
    assert command[command.index("--weight-format") + 1] == width
