"""Dimensions of a model, from a Hugging Face config, and what follows from them."""

from __future__ import annotations

import pytest

from neuron_whisper.model.dims import WhisperDims, default_alignment_heads
from neuron_whisper.model.published_dims import PUBLISHED_DIMS

CONFIG = {
    "num_mel_bins": 80,
    "max_source_positions": 1500,
    "d_model": 512,
    "encoder_attention_heads": 8,
    "encoder_layers": 6,
    "vocab_size": 51865,
    "max_target_positions": 448,
    "decoder_attention_heads": 8,
    "decoder_layers": 6,
}


def test_the_config_of_base_gives_its_dimensions() -> None:
    assert WhisperDims.from_hf_config(CONFIG) == PUBLISHED_DIMS["base"]


@pytest.mark.parametrize("field", CONFIG)
def test_a_missing_field_is_named(field: str) -> None:
    with pytest.raises(KeyError, match=field):
        WhisperDims.from_hf_config({name: value for name, value in CONFIG.items() if name != field})


def test_heads_frames_and_languages_follow_from_the_dimensions() -> None:
    base, english = PUBLISHED_DIMS["base"], PUBLISHED_DIMS["base.en"]
    assert (base.head_dim, base.n_frames, base.is_multilingual) == (64, 3000, True)
    assert not english.is_multilingual


def test_alignment_heads_are_by_default_all_of_the_upper_half_of_the_decoder() -> None:
    heads = default_alignment_heads(PUBLISHED_DIMS["tiny"])
    assert heads == tuple((layer, head) for layer in (2, 3) for head in range(6))
