"""A checkpoint exported as a Hugging Face directory, read back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from neuron_whisper.bench.engines.huggingface_export import write_huggingface
from neuron_whisper.model.checkpoint import open_checkpoint
from tests.support.tiny_models import TINY_DIMS


def test_a_checkpoint_reads_back_from_its_hugging_face_form(tiny_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(tiny_checkpoint)
    write_huggingface(checkpoint, tmp_path)
    again = open_checkpoint(tmp_path)
    assert again.dims == TINY_DIMS
    assert all(np.array_equal(again.tensor(name), checkpoint.tensor(name)) for name in checkpoint.parameter_names)
    config = json.loads((tmp_path / "generation_config.json").read_text())
    assert (config["no_timestamps_token_id"], config["begin_suppress_tokens"]) == (50362, [220, 50256])
    assert "lang_to_id" not in config
