"""Lowering for Neuron: each rank's weights."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

from neuron_whisper.target.neuron.lowering.lowering import write_weights
from tests.support.neuron_programs import make_profile, make_spec
from tests.support.sessions import checkpoint, compile_request


def test_weights_are_those_of_the_table_padding_included(tmp_path: Path) -> None:
    program = make_spec(3, 91)
    write_weights(compile_request(program, make_profile(2, "bfloat16"), checkpoint(program), tmp_path))
    last = load_file(tmp_path / "weights" / "tp1.safetensors")
    assert last["layers.decoder.token_embedding.weight"].shape == (803, 96)
    query = last["layers.decoder.blocks.0.attn.query.weight"]
    assert query.shape == (64, 96), "the third head and one of zeros"
    assert query.dtype == torch.bfloat16
    assert query[32:].count_nonzero() == 0
    assert last["layers.spmd.rank"].tolist() == [1]
