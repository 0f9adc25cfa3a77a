"""Beam search against openai-whisper's."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from whisper.decoding import BeamSearchDecoder as WhisperBeamSearchDecoder
from whisper.decoding import MaximumLikelihoodRanker

from neuron_whisper.decode.rules import apply_rules, compute_rules
from neuron_whisper.decode.token_decoders import (
    BeamSearchDecoder,
    DecoderConfig,
)
from tests.support.tiny_program import SPECIAL
from tests.support.token_models import NOTHING_SUPPRESSED, PROMPT, Model, decoder_config, random_model, run_decoder


def openai_beams(
    model: Model, own: DecoderConfig, beam_size: int, patience: float | None, penalty: float | None
) -> list[int]:
    """The same search by openai-whisper's decoder and ranker."""
    cache = type("Cache", (), {"rearrange_kv_cache": lambda self, sources: None})()
    decoder = WhisperBeamSearchDecoder(beam_size, SPECIAL.eot, cache, patience)
    tokens = torch.tensor([PROMPT] * beam_size)
    sums = torch.zeros(beam_size)
    for _ in range(own.max_tokens):
        rows = [
            apply_rules(model(row[3:]), compute_rules(row[3:], SPECIAL, own.options), NOTHING_SUPPRESSED, SPECIAL)
            for row in tokens.tolist()
        ]
        tokens, is_done = decoder.update(tokens, torch.from_numpy(np.stack(rows)), sums)
        if is_done:
            break
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # numpy sorts its tensors in a way that will end
        found, scores = decoder.finalize(tokens.reshape(1, beam_size, -1), sums.reshape(1, beam_size))
    texts = [[row[3 : (row == SPECIAL.eot).nonzero()[0, 0]] for row in rows] for rows in found]
    chosen = MaximumLikelihoodRanker(penalty).rank(texts, scores)[0]
    return [int(token) for token in texts[0][chosen]]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(2, 6),
    st.sampled_from([None, 0.5, 1.0, 2.0]),
    st.sampled_from([None, 0.0, 1.0]),
    st.integers(1, 9),
)
def test_beams_end_where_openai_whispers_do(
    seed: int, beam_size: int, patience: float | None, penalty: float | None, end_from: int
) -> None:
    model = random_model(seed, end_from)
    own = decoder_config(beam_size=beam_size, patience=patience, length_penalty=penalty)
    assert run_decoder(BeamSearchDecoder(own), model).tokens == openai_beams(model, own, beam_size, patience, penalty)
