"""Laws of every long form, for any speech and whatever a decoder says: order, bounds, no speech without a reason."""

from __future__ import annotations

import random
from concurrent.futures import Future
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuron_whisper.audio.mel import LogMel
from neuron_whisper.decode.options import DEFAULT_VAD, TranscribeOptions
from neuron_whisper.decode.window import DecodingResult, WindowRequest
from neuron_whisper.longform.batched import decode_batched
from neuron_whisper.longform.clip_context import ClipContext, PromptState
from neuron_whisper.longform.coverage import is_point
from neuron_whisper.longform.sequential import decode_sequential
from neuron_whisper.longform.speech_map import SpeechMap
from neuron_whisper.transcript import Segment, SkippedRegion
from tests.support.plans import BEGIN, RATE, TOKENIZER, ScriptedDecoder, make_clip, run_to_end

CHUNK_S = 512 / RATE
ROWS, POSITIONS = 3, 1500  # of attention: a start sequence, and the encoder's
LENGTHS_S = (0.2, 3.07, 29.99, 41.5, 70.0)


class ArbitraryDecoder(ScriptedDecoder):
    """Says anything: text that ends where it likes, times beyond the audio and back, nothing, silence, a text too long.

    `follows_rules`: timestamps never decrease, and are a start, an end or a pair, as the decoding rules have it.
    """

    def __init__(self, seed: int, *, with_words: bool, follows_rules: bool) -> None:
        super().__init__()
        self._random, self._with_words, self._follows_rules = random.Random(seed), with_words, follows_rules

    def __call__(self, request: WindowRequest, *, is_first: bool) -> Future[DecodingResult]:
        result = super().__call__(request, is_first=is_first).result()
        chance = self._random
        tokens = self._segments() if self._follows_rules else self._anything()
        if chance.random() < 0.3:
            tokens = tokens[: chance.randrange(len(tokens) + 1)]
        texts = [token for token in tokens if token < TOKENIZER.special.eot]
        attention = None
        if self._with_words and texts:
            shape = (1, ROWS + len(texts) + 1, POSITIONS)
            attention = np.random.default_rng(chance.randrange(99)).random(shape, np.float32)
        done: Future[DecodingResult] = Future()
        done.set_result(
            replace(
                result,
                tokens=tuple(tokens),
                text=TOKENIZER.decode(tokens),
                token_logprobs=tuple(-0.1 for _ in tokens),
                temperature=chance.choice((0.0, 1.0)),
                is_silence=chance.random() < 0.1,
                is_truncated=chance.random() < 0.1,
                finish_reason=chance.choice(("stop", "stop", "length")),
                attention=attention,
                first_aligned_row=ROWS,
            )
        )
        return done

    def _text(self) -> list[int]:
        return [self._random.choice(b" abc") for _ in range(self._random.randrange(1, self._random.choice((7, 70))))]

    def _segments(self) -> list[int]:
        chance = self._random
        times = sorted(chance.randrange(chance.choice((20, 200, 1501))) for _ in range(2 * chance.randrange(1, 5)))
        return [
            token
            for a, b in zip(times[::2], times[1::2], strict=True)
            for token in (BEGIN + a, *self._text(), BEGIN + b)
        ]

    def _anything(self) -> list[int]:
        chance = self._random
        pieces = [[BEGIN + chance.randrange(1501)] if chance.random() < 0.5 else self._text() for _ in range(8)]
        return [token for piece in pieces for token in piece]


@lru_cache
def spectrogram(seconds: float) -> LogMel:
    return LogMel.from_samples(make_clip(seconds).samples, 80)


def speech_of(runs: list[tuple[int, int]], n_samples: int) -> SpeechMap:
    """Speech and pauses by turns, in chunks of the detector."""
    chunks = [likely for pause, speech in runs for likely in (*[0.0] * pause, *[0.9] * speech)]
    needed = -(-n_samples // 512)
    probabilities = np.resize(np.array(chunks, np.float32), needed)
    return SpeechMap.from_probabilities(probabilities, n_samples, replace(DEFAULT_VAD, max_speech_duration_s=30.0))


def uncovered_stretches(
    items: list[Segment | SkippedRegion], start_s: float, end_s: float
) -> list[tuple[float, float]]:
    at_s, found = start_s, []
    for first_s, last_s in [*sorted((it.start_s, it.end_s) for it in items if not is_point(it)), (end_s, end_s)]:
        found.append((at_s, first_s))
        at_s = max(at_s, last_s)
    return [(a, min(b, end_s)) for a, b in found if min(b, end_s) > a]


@pytest.mark.parametrize("plan", ["sequential", "batched"])
@pytest.mark.parametrize("has_vad", [True, False])
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    runs=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 400)), min_size=1, max_size=6).filter(
        lambda runs: sum(map(sum, runs)) > 0
    ),
    seconds=st.sampled_from(LENGTHS_S),
    gap=st.integers(0, 300),
    with_words=st.booleans(),
    follows_rules=st.booleans(),
)
def test_segments_are_ordered_and_inside_the_audio_and_no_second_of_speech_is_without_a_segment_or_a_reason(
    plan: str,
    has_vad: bool,
    seed: int,
    runs: list[tuple[int, int]],
    seconds: float,
    gap: int,
    with_words: bool,
    follows_rules: bool,
) -> None:
    speech = speech_of(runs, int(seconds * RATE))
    mel = spectrogram(seconds)
    clip = ClipContext(
        mel=mel,
        options=TranscribeOptions(word_timestamps=with_words),
        tokenizer=TOKENIZER,
        speech_map=speech if has_vad else None,
        detect_speech=lambda: speech,
    )
    decoder = ArbitraryDecoder(seed, with_words=with_words, follows_rules=follows_rules)
    end = mel.content_frames
    cuts = [0, end // 3, min(end, end // 3 + gap), end] if plan == "batched" else [0, end]
    regions = [(a, b) for a, b in zip(cuts[::2], cuts[1::2], strict=True) if a < b]
    state = PromptState(language="en")
    made = (
        decode_batched(clip, state, regions, concurrency=2)
        if plan == "batched"
        else decode_sequential(clip, state, regions)
    )
    segments, skipped, summary = run_to_end(made, decoder)
    assert summary.text == "".join(segment.text for segment in segments).strip()
    duration_s = mel.content_frames / 100
    items: list[Segment | SkippedRegion] = [*segments, *skipped]
    for item in items:
        assert 0 <= item.start_s <= item.end_s <= duration_s
    assert all(item.start_s < item.end_s for item in skipped)
    assert all(before.end_s <= after.start_s for before, after in pairwise(segments))
    for segment in segments:
        times = [second for word in segment.words for second in (word.start_s, word.end_s)]
        assert [segment.start_s, *times, segment.end_s] == sorted([segment.start_s, *times, segment.end_s])
    for segment in segments:  # a segment covers as much speech as its text takes, at four letters a second
        letters = sum(letter.isalpha() for letter in segment.text)
        beyond_s = speech.measure_speech(segment.start_s, segment.end_s) - letters / 4
        assert beyond_s < 2.0 or (segment.start_s, segment.end_s) in state.sparse_spans
    assert bool(state.sparse_spans) == any("more speech than text" in warning for warning in summary.warnings)
    for first, last in regions:
        for start_s, end_s in uncovered_stretches(items, first / 100, last / 100):
            assert speech.measure_speech(start_s, end_s) < 1.0
