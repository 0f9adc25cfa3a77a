"""Attempts at a window: beams against openai-whisper's, samples against their distribution; and loops."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from whisper.decoding import BeamSearchDecoder as WhisperBeamSearchDecoder
from whisper.decoding import MaximumLikelihoodRanker

from neuron_whisper.decode.options import WindowOptions
from neuron_whisper.decode.repetition import find_loop_start, truncate_loop
from neuron_whisper.decode.rules import apply_rules, compute_rules
from neuron_whisper.decode.token_decoders import (
    BeamSearchDecoder,
    DecoderConfig,
    GreedyDecoder,
    SamplingDecoder,
    TokenDecoder,
    TokenSequence,
    sample,
)
from tests.support.tiny_program import DIMS, SPECIAL

PROMPT = [SPECIAL.sot, SPECIAL.first_language, SPECIAL.transcribe]
NOTHING_BANNED = np.zeros(DIMS.n_vocab, np.bool_)
Model = Callable[[list[int]], NDArray[np.float32]]


def random_model(seed: int, end_from: int = 3) -> Model:
    """Logits (V,) that are a fixed function of the tokens before; the end is likely from `end_from` tokens on."""

    def logits(tokens: list[int]) -> NDArray[np.float32]:
        rng = np.random.default_rng([seed, *tokens])
        made = rng.standard_normal(DIMS.n_vocab).astype(np.float32) * 2
        made[SPECIAL.eot] = 5.0 if len(tokens) >= end_from else -5.0
        return made

    return logits


def decoder_config(most: int = 12, **options: object) -> DecoderConfig:
    window = WindowOptions(language="en", task="transcribe", without_timestamps=True, **options)  # type: ignore[arg-type]
    return DecoderConfig(special=SPECIAL, options=window, max_tokens=most)


def run(attempt: TokenDecoder, model: Model, choices: int = 11) -> TokenSequence:
    """Drive an attempt as a window and a session would, each row with its own past."""

    def answer(past: list[int], rules: NDArray[np.int32]) -> NDArray[np.float32]:
        return apply_rules(model(past), rules, NOTHING_BANNED, SPECIAL)

    def best(rows: list[NDArray[np.float32]]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        tokens = np.stack([np.argsort(-row, kind="stable")[:choices] for row in rows]).astype(np.int32)
        return tokens, np.take_along_axis(np.stack(rows), tokens, 1)

    tokens, logprobs = best([answer([], attempt.next_rules()[0])])
    attempt.begin(tokens[0], logprobs[0])
    pasts: list[list[int]] = [[] for _ in range(attempt.rows)]
    while attempt.best is None:
        fed, parents = attempt.next_tokens()
        if attempt.length == 0:
            pasts = [[] for _ in fed]
        else:
            pasts = [[*pasts[parent], token] for parent, token in zip(parents, fed, strict=True)]
        rows = [answer(past, rules) for past, rules in zip(pasts, attempt.next_rules(), strict=True)]
        if attempt.needs_logits:
            attempt.receive_logits(np.stack(rows))
        else:
            attempt.receive(*best(rows))
    return attempt.best


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
            apply_rules(model(row[3:]), compute_rules(row[3:], SPECIAL, own.options), NOTHING_BANNED, SPECIAL)
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
    assert run(BeamSearchDecoder(own), model).tokens == openai_beams(model, own, beam_size, patience, penalty)


def test_a_beam_finds_what_greedy_decoding_walks_past() -> None:
    def garden_path(tokens: list[int]) -> NDArray[np.float32]:
        logits = np.full(DIMS.n_vocab, -20, np.float32)
        if not tokens:
            logits[[1, 2]] = 1.0, 0.9  # 1 is likelier now, and leads nowhere
        elif tokens == [1]:
            logits[:80] = 0.0
        else:
            logits[3 if tokens == [2] else SPECIAL.eot] = 9.0
        return logits

    assert run(GreedyDecoder(decoder_config(2)), garden_path).tokens[0] == 1
    assert run(BeamSearchDecoder(decoder_config(beam_size=2)), garden_path).tokens == [2, 3]


def test_a_sequence_has_a_log_probability_for_every_token_and_their_sum() -> None:
    for attempt in (
        GreedyDecoder(decoder_config()),
        BeamSearchDecoder(decoder_config(beam_size=4)),
        SamplingDecoder(decoder_config(), 0.7, rows=1, seed=(1, 1)),
    ):
        found = run(attempt, random_model(5))
        assert len(found.logprobs) == len(found.tokens) > 0
        end = found.sum_logprob - sum(found.logprobs)
        assert end < 0 if found.is_ended else end == pytest.approx(0)


def test_the_same_seed_draws_the_same_and_another_seed_something_else() -> None:
    def drawn(seed: int) -> list[int]:
        return run(SamplingDecoder(decoder_config(), 1.0, rows=1, seed=(seed, 1)), random_model(3, end_from=10)).tokens

    assert drawn(1) == drawn(1)
    assert len({tuple(drawn(seed)) for seed in range(6)}) == 6


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_the_best_of_five_does_not_depend_on_how_many_are_drawn_side_by_side(rows: int) -> None:
    model = random_model(9, end_from=4)
    own = decoder_config(best_of=5)
    together = run(SamplingDecoder(own, 0.9, rows=5, seed=(0, 1)), model)
    found = run(SamplingDecoder(own, 0.9, rows=rows, seed=(0, 1)), model)
    assert found.tokens == together.tokens
    assert found.sum_logprob == pytest.approx(together.sum_logprob)
    alone = [run(SamplingDecoder(decoder_config(best_of=1), 0.9, rows=1, seed=(0, 1)), model)]
    assert together.avg_logprob >= alone[0].avg_logprob, "the first of the five is that one"


def test_a_low_temperature_draws_what_greedy_decoding_takes() -> None:
    model = random_model(11)
    assert (
        run(SamplingDecoder(decoder_config(), 0.001, rows=1, seed=(0, 0)), model).tokens
        == run(GreedyDecoder(decoder_config()), model).tokens
    )


@settings(max_examples=200)
@given(
    st.lists(st.one_of(st.just(-np.inf), st.floats(-12, 0)), min_size=2, max_size=40),
    st.floats(0.05, 1.0),
    st.floats(0, 1, exclude_max=True),
)
def test_a_draw_never_takes_what_is_forbidden(logprobs: list[float], temperature: float, chance: float) -> None:
    row = np.array([*logprobs, -1.0], np.float32)
    assert np.isfinite(row[sample(row, temperature, chance)])


def test_draws_follow_the_distribution_at_their_temperature() -> None:
    row = np.log(np.array([0.7, 0.2, 0.1], np.float32))
    chances = (np.arange(10_000) + 0.5) / 10_000
    counts = np.bincount([sample(row, 0.5, float(chance)) for chance in chances], minlength=3)
    wanted = np.array([0.49, 0.04, 0.01]) / 0.54  # p ** 2, normalised
    np.testing.assert_allclose(counts / 10_000, wanted, atol=2e-4)


# --- loops ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokens", "start"),
    [
        ([9, *[1, 2] * 4], 3),
        ([1, 2] * 3, None),
        ([*range(50)], None),
        ([5, 6, *[7] * 8], 3),
        ([*[1, 2, 3] * 4, 1], 3),
        ([], None),
    ],
    ids=["a pair four times", "three times may be meant", "no loop", "one token", "an unfinished round", "empty"],
)
def test_a_loop_begins_with_its_second_round(tokens: list[int], start: int | None) -> None:
    assert find_loop_start(tokens, min_tokens=8) == start


@settings(max_examples=200)
@given(
    st.lists(st.integers(0, 50), max_size=20),
    st.lists(st.integers(0, 50), min_size=1, max_size=12),
    st.integers(24, 30),
)
def test_what_is_left_of_a_loop_is_at_most_one_round_and_what_stood_before(
    before: list[int], rounds: list[int], times: int
) -> None:
    kept = truncate_loop([*before, *rounds * times], 60)
    assert kept == [*before, *rounds * times][: len(kept)]
    assert len(kept) <= len(before) + len(rounds)


def test_the_time_behind_the_first_round_stays() -> None:
    begin = SPECIAL.timestamp_begin
    round_ = [1, 2, 3, 4, 5, 6]
    looped = [begin, *round_, begin + 50, begin + 50, *round_, begin + 90, begin + 90, *round_, *round_]
    assert truncate_loop(looped, SPECIAL.eot) == [begin, *round_, begin + 50]
