"""Lowering: one graph to OpenVINO; tests/integration/test_session_contract.py lowers and runs all of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import openvino as ov
import pytest
import torch

from neuron_whisper.graph import whisper
from neuron_whisper.graph.layers import PlainLayers
from neuron_whisper.graph.logit_processor import SpecialTokenIds
from neuron_whisper.graph.padding_windows import load_padding_windows
from neuron_whisper.model.checkpoint import Checkpoint
from neuron_whisper.profile import parse_profile
from neuron_whisper.target.cpu.lowering.lowering import Lowering
from tests.support.sessions import MemoryCheckpoint, checkpoint, compile_request
from tests.support.tiny_program import DIMS, parameters, spec

ONE_LAYER = replace(DIMS, n_text_layer=1, n_audio_layer=1)
PROGRAM = replace(spec(dims=ONE_LAYER), alignment_heads=((0, 1),))
PROFILE = parse_profile('format = 1\n[target]\nname = "cpu"\ndtype = "float32"\n[weights]\ndtype = "float32"')


@pytest.fixture(scope="module")
def align() -> ov.CompiledModel:
    """The lowered graph; nothing is written."""
    lowering = Lowering(compile_request(PROGRAM, PROFILE, checkpoint(PROGRAM), Path("unused")))
    return ov.Core().compile_model(lowering.lower_graph("align"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


@pytest.mark.parametrize("length", [3, 5])
def test_a_lowered_graph_computes_what_torch_computes_at_any_length(align: ov.CompiledModel, length: int) -> None:
    rng = np.random.default_rng(0)
    shape = (1, DIMS.n_text_head, DIMS.n_audio_ctx, DIMS.head_dim)
    k, v = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
    tokens = np.arange(length, dtype=np.int32)[None]
    weights = {name: torch.from_numpy(value) for name, value in parameters(ONE_LAYER).items()}
    config = whisper.GraphConfig(ONE_LAYER, SpecialTokenIds.from_spec(PROGRAM), PROGRAM.choices)
    expected = whisper.align(
        config,
        PlainLayers(ONE_LAYER, weights),
        [(torch.from_numpy(k), torch.from_numpy(v))],
        torch.from_numpy(tokens),
        PROGRAM.alignment_heads,
    )
    np.testing.assert_allclose(align([tokens, k, v])[0], expected.numpy(), atol=1e-4)


def test_padding_is_found_with_parameters_that_are_read_for_every_window_and_not_kept() -> None:
    """A copy of the checkpoint, 3 GB in float32 of a large model, would be the peak of a compilation."""
    reads: Counter[str] = Counter()

    class Counting(MemoryCheckpoint):
        def tensor(self, name: str) -> np.ndarray:
            reads[name] += 1
            return super().tensor(name)

    stored = cast("Checkpoint", Counting(parameters(ONE_LAYER)))
    Lowering(compile_request(replace(PROGRAM, skip_padding=True), PROFILE, stored, Path("unused")))
    windows = len(list(load_padding_windows(ONE_LAYER.n_mels, ONE_LAYER.n_frames)))
    assert windows > 1
    assert reads["encoder.conv2.weight"] == reads["encoder.blocks.0.mlp.0.weight"] == windows
    assert reads["decoder.blocks.0.mlp.0.weight"] == 0
