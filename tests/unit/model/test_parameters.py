"""Parameters of Whisper: dimensions that exist, positions that are computed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuron_whisper.errors import CheckpointError
from neuron_whisper.model.checkpoint import open_checkpoint
from tests.support.checkpoint_files import WEIGHTS, hf_config, hf_names, write_hf


def test_encoder_positions_left_out_are_whispers_sinusoids(tmp_path: Path) -> None:
    tensors = hf_names(WEIGHTS)
    del tensors["model.encoder.embed_positions.weight"]
    found = open_checkpoint(write_hf(tmp_path, tensors)).tensor("encoder.positional_embedding")
    # Position 1 of 8 channels: rates 1, 10000^(-1/3), 10000^(-2/3), 1/10000.
    rates = np.array([1, 0.046415888, 0.0021544347, 0.0001])
    assert found.shape == (6, 8)
    np.testing.assert_allclose(found[1], [*np.sin(rates), *np.cos(rates)], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"d_model": None}, "n_audio_state to be an integer"),
        ({"d_model": "8"}, "n_audio_state to be an integer"),
        ({"encoder_layers": 10**9}, "n_audio_layer to be an integer from 1 to 256, found 1000000000"),
        ({"encoder_attention_heads": 3}, "a multiple of n_audio_head = 3, found 8"),
    ],
)
def test_dims_that_no_whisper_has_are_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_hf(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(hf_config() | change))
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(tmp_path)
