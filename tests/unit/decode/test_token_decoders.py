"""Attempts at a window: beams against openai-whisper's, samples against their distribution; and loops."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from neuron_whisper.decode.token_decoders import (
    BeamSearchDecoder,
    GreedyDecoder,
    SamplingDecoder,
    TokenDecoder,
    TokenSequence,
    sample,
)
from tests.support.tiny_program import DIMS, SPECIAL
from tests.support.token_models import decoder_config, random_model, run_decoder


def test_a_beam_finds_a_path_that_greedy_decoding_misses() -> None:
    def garden_path(tokens: list[int]) -> NDArray[np.float32]:
        logits = np.full(DIMS.n_vocab, -20, np.float32)
        if not tokens:
            logits[[1, 2]] = 1.0, 0.9  # 1 is likelier now, and leads nowhere
        elif tokens == [1]:
            logits[:80] = 0.0
        else:
            logits[3 if tokens == [2] else SPECIAL.eot] = 9.0
        return logits

    assert run_decoder(GreedyDecoder(decoder_config(2)), garden_path).tokens[0] == 1
    assert run_decoder(BeamSearchDecoder(decoder_config(beam_size=2)), garden_path).tokens == [2, 3]


def test_a_sequence_has_a_log_probability_for_every_token_and_their_sum() -> None:
    for attempt in (
        GreedyDecoder(decoder_config()),
        BeamSearchDecoder(decoder_config(beam_size=4)),
        SamplingDecoder(decoder_config(), 0.7, rows=1, seed=(1, 1)),
    ):
        found = run_decoder(attempt, random_model(5))
        assert len(found.logprobs) == len(found.tokens) > 0
        end = found.sum_logprob - sum(found.logprobs)
        assert end < 0 if found.is_ended else end == pytest.approx(0)


def test_the_same_seed_draws_the_same_text_and_another_seed_another() -> None:
    def drawn(seed: int) -> list[int]:
        return run_decoder(
            SamplingDecoder(decoder_config(), 1.0, rows=1, seed=(seed, 1)), random_model(3, end_from=10)
        ).tokens

    assert drawn(1) == drawn(1)
    assert len({tuple(drawn(seed)) for seed in range(6)}) == 6


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_the_best_of_five_does_not_depend_on_how_many_are_drawn_at_once(rows: int) -> None:
    model = random_model(9, end_from=4)
    own = decoder_config(best_of=5)
    together = run_decoder(SamplingDecoder(own, 0.9, rows=5, seed=(0, 1)), model)
    found = run_decoder(SamplingDecoder(own, 0.9, rows=rows, seed=(0, 1)), model)
    assert found.tokens == together.tokens
    assert found.sum_logprob == pytest.approx(together.sum_logprob)
    alone = [run_decoder(SamplingDecoder(decoder_config(best_of=1), 0.9, rows=1, seed=(0, 1)), model)]
    assert together.avg_logprob >= alone[0].avg_logprob, "the first of the five is that one"


def test_a_low_temperature_draws_the_greedy_text() -> None:
    model = random_model(11)
    assert (
        run_decoder(SamplingDecoder(decoder_config(), 0.001, rows=1, seed=(0, 0)), model).tokens
        == run_decoder(GreedyDecoder(decoder_config()), model).tokens
    )


@settings(max_examples=200)
@given(
    st.lists(st.one_of(st.just(-np.inf), st.floats(-12, 0)), min_size=2, max_size=40),
    st.floats(0.05, 1.0),
    st.floats(0, 1, exclude_max=True),
)
def test_a_sample_is_never_a_suppressed_token(logprobs: list[float], temperature: float, chance: float) -> None:
    row = np.array([*logprobs, -1.0], np.float32)
    assert np.isfinite(row[sample(row, temperature, chance)])


def test_samples_follow_the_distribution_at_their_temperature() -> None:
    row = np.log(np.array([0.7, 0.2, 0.1], np.float32))
    chances = (np.arange(10_000) + 0.5) / 10_000
    counts = np.bincount([sample(row, 0.5, float(chance)) for chance in chances], minlength=3)
    expected = np.array([0.49, 0.04, 0.01]) / 0.54  # p ** 2, normalised
    np.testing.assert_allclose(counts / 10_000, expected, atol=2e-4)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 999),
    kind=st.sampled_from(["greedy", "beams", "patient beams", "summed beams", "long beams", "samples", "rounds"]),
    end_from=st.integers(1, 20),
)
def test_what_is_best_in_the_end_was_a_contender_or_continues_one(seed: int, kind: str, end_from: int) -> None:
    search: dict[str, Any] = {
        "beams": {"beam_size": 3},
        "patient beams": {"beam_size": 2, "patience": 2.0},
        "summed beams": {"beam_size": 3, "patience": 2.0, "length_penalty": 0.0},
        "long beams": {"beam_size": 3, "length_penalty": 0.6},
        "samples": {"best_of": 4},
        "rounds": {"best_of": 4},
    }
    config = decoder_config(**search.get(kind, {}))
    decoder: TokenDecoder
    if kind == "greedy":
        decoder = GreedyDecoder(config)
    elif "beams" in kind:
        decoder = BeamSearchDecoder(config)
    else:
        decoder = SamplingDecoder(config, 0.8, rows=4 if kind == "samples" else 2, seed=(seed, 1))
    contenders_by_step: list[list[TokenSequence]] = []
    best = run_decoder(
        decoder,
        random_model(seed, end_from=end_from),
        on_step=lambda: contenders_by_step.append([deepcopy(it) for it in decoder.list_contenders()]),
    )
    for contenders in filter(None, contenders_by_step):
        scores = [config.score(it) for it in contenders]
        assert scores == sorted(scores, reverse=True)
        grown = [it for it in contenders if best.tokens[: len(it.tokens)] == it.tokens]
        assert grown
        assert any(best.avg_logprob <= config.bound_avg_logprob(it) + 1e-9 for it in grown)


def test_a_good_text_that_ended_stays_a_contender_beside_a_likelier_loop() -> None:
    config = decoder_config(max_tokens=224, beam_size=2, patience=2.0)
    start = config.start_sequence()
    good = TokenSequence(start.state, [1] * 20, [-0.6] * 20, -12.0, is_ended=True)
    worse = TokenSequence(start.state, [2] * 20, [-0.9] * 20, -18.0, is_ended=True)
    loop = TokenSequence(start.state, [3] * 96, [-0.1] * 96, -9.6)
    hopeless = TokenSequence(start.state, [4] * 96, [-3.0] * 96, -288.0)
    assert config.find_contenders([good, worse, loop, hopeless]) == [loop, good]
    assert config.find_contenders([loop, hopeless]) == [loop, hopeless]


def test_samples_that_are_still_to_be_drawn_may_be_better_than_all_before() -> None:
    decoder = SamplingDecoder(decoder_config(best_of=4), 0.8, rows=2, seed=(0, 1))
    assert decoder.list_contenders() == []
