"""The dimensions of published models, known without downloading them."""

from __future__ import annotations

from collections.abc import Mapping

from neuron_whisper.model.dims import WhisperDims


def _make_dims(state: int, heads: int, layers: tuple[int, int], n_vocab: int, n_mels: int = 80) -> WhisperDims:
    """`layers` of the encoder and of the decoder. Every published model has 30 s windows and 448 positions."""
    return WhisperDims(
        n_mels=n_mels,
        n_audio_ctx=1500,
        n_audio_state=state,
        n_audio_head=heads,
        n_audio_layer=layers[0],
        n_vocab=n_vocab,
        n_text_ctx=448,
        n_text_state=state,
        n_text_head=heads,
        n_text_layer=layers[1],
    )


_EN, _MULTI, _V3 = 51864, 51865, 51866
_DISTIL_V3 = _make_dims(1280, 20, (32, 2), _V3, 128)  # Kotoba-Whisper's too: distilled from large-v3 in the same way

# From each model's config.json on the Hugging Face hub.
PUBLISHED_DIMS: Mapping[str, WhisperDims] = {
    "tiny": _make_dims(384, 6, (4, 4), _MULTI),
    "tiny.en": _make_dims(384, 6, (4, 4), _EN),
    "base": _make_dims(512, 8, (6, 6), _MULTI),
    "base.en": _make_dims(512, 8, (6, 6), _EN),
    "small": _make_dims(768, 12, (12, 12), _MULTI),
    "small.en": _make_dims(768, 12, (12, 12), _EN),
    "medium": _make_dims(1024, 16, (24, 24), _MULTI),
    "medium.en": _make_dims(1024, 16, (24, 24), _EN),
    "large-v1": _make_dims(1280, 20, (32, 32), _MULTI),
    "large-v2": _make_dims(1280, 20, (32, 32), _MULTI),
    "large-v3": _make_dims(1280, 20, (32, 32), _V3, 128),
    "large-v3-turbo": _make_dims(1280, 20, (32, 4), _V3, 128),
    "distil-small.en": _make_dims(768, 12, (12, 4), _EN),
    "distil-medium.en": _make_dims(1024, 16, (24, 2), _EN),
    "distil-large-v2": _make_dims(1280, 20, (32, 2), _MULTI),
    "distil-large-v3": _DISTIL_V3,
    "distil-large-v3.5": _DISTIL_V3,
    "kotoba-v1.0": _DISTIL_V3,
    "kotoba-v1.1": _DISTIL_V3,
    "kotoba-v2.0": _DISTIL_V3,
    "kotoba-v2.1": _DISTIL_V3,
    "kotoba-v2.2": _DISTIL_V3,
}
