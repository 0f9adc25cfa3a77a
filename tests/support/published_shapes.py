"""Dimensions of published models, with as few encoder layers as show the arithmetic."""

from __future__ import annotations

from neuron_whisper.model.dims import WhisperDims

# The shapes of the published models, with as few encoder layers as show the arithmetic.
BASE = WhisperDims(
    n_mels=80,
    n_audio_ctx=1500,
    n_audio_state=512,
    n_audio_head=8,
    n_audio_layer=2,
    n_vocab=51865,
    n_text_ctx=448,
    n_text_state=512,
    n_text_head=8,
    n_text_layer=6,
)


KOTOBA = WhisperDims(
    n_mels=128,
    n_audio_ctx=1500,
    n_audio_state=1280,
    n_audio_head=20,
    n_audio_layer=1,
    n_vocab=51866,
    n_text_ctx=448,
    n_text_state=1280,
    n_text_head=20,
    n_text_layer=2,
)
