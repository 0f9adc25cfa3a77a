"""Windows whose text does not reach the end of their speech: the rest is decoded, or it is told of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from neuron_whisper.decode.window import DecodingAttempt, WindowRequest
from neuron_whisper.longform.batched import decode_batched
from neuron_whisper.longform.clip_context import ClipContext, PromptState
from neuron_whisper.longform.plan import Plan
from neuron_whisper.longform.sequential import decode_sequential
from tests.support.plans import (
    ScriptedDecoder,
    make_clip_context,
    make_pauseless_map,
    run_to_end,
    timestamp_at,
)


def plan_of(name: str, clip: ClipContext, frames: int, language: str | None = "en") -> Plan:
    state = PromptState(language=language)
    if name == "batched":
        return decode_batched(clip, state, [(0, frames)], concurrency=2)
    return decode_sequential(clip, state, [(0, frames)])


def say_until(frames: int) -> Any:
    """A script: text up to one single timestamp, in every window that is longer."""

    def script(request: WindowRequest) -> list[int]:
        end = min(frames, request.frames)
        return [timestamp_at(0), *speak(end), timestamp_at(end)]

    return script


def speak(frames: int) -> bytes:
    """A text that is long enough for so many frames of speech: 10 letters a second."""
    return b" " + b"a" * (frames // 10)


both_plans = pytest.mark.parametrize("plan", ["sequential", "batched"])


@both_plans
def test_speech_behind_a_single_timestamp_is_decoded_as_a_window_of_its_own(plan: str) -> None:
    clip = make_clip_context(12, make_pauseless_map((0, 12)))
    decoder = ScriptedDecoder(say_until(500))
    found, skipped, summary = run_to_end(plan_of(plan, clip, 1200), decoder)
    assert [(it.seek_s, it.start_s, it.end_s) for it in found] == [(0, 0, 5), (5, 5, 10), (10, 10, 12)]
    assert (skipped, [len(text) for text in summary.text.split()]) == ([], [50, 50, 20])


@both_plans
@pytest.mark.parametrize(
    ("speech", "requests"),
    [
        (((0, 5),), 1),  # silence behind it
        (((0, 5), (8, 8.5)), 1),  # a cough
        (((0, 5.6),), 1),  # an early timestamp
        (((0, 5), (8, 9.5)), 2),
    ],
)
def test_silence_behind_a_single_timestamp_is_not_decoded(
    plan: str, speech: tuple[tuple[float, float], ...], requests: int
) -> None:
    speech_map = replace(make_pauseless_map((0, 12)), pauseless_spans=make_pauseless_map(*speech).spans)
    decoder = ScriptedDecoder(say_until(500))
    run_to_end(plan_of(plan, make_clip_context(12, speech_map), 1200), decoder)
    assert len(decoder.requests) == requests


@both_plans
@pytest.mark.parametrize("text", [[], [timestamp_at(0)], [timestamp_at(0), timestamp_at(100)]])
def test_speech_of_which_nothing_comes_is_told_of(plan: str, text: Sequence[int]) -> None:
    clip = make_clip_context(12, make_pauseless_map((0, 12)))

    def script(request: WindowRequest) -> Sequence[int]:
        return text if request.frames < 1200 else [timestamp_at(0), *speak(500), timestamp_at(500)]

    found, skipped, _ = run_to_end(plan_of(plan, clip, 1200), ScriptedDecoder(script))
    assert [(it.start_s, it.end_s) for it in found] == [(0, 5)]
    assert [(it.start_s, it.end_s, it.reason) for it in skipped] == [(5, 12, "no_text")]


def test_speech_between_two_segments_is_told_of() -> None:
    text = [timestamp_at(0), *speak(200), timestamp_at(200), timestamp_at(900), *speak(300), timestamp_at(1200)]
    plan = plan_of("sequential", make_clip_context(12, make_pauseless_map((0, 12))), 1200)
    _, skipped, _ = run_to_end(plan, ScriptedDecoder(lambda request: text if request.frames == 1200 else []))
    assert [(it.start_s, it.end_s, it.reason) for it in skipped] == [(2, 9, "no_text")]


def test_without_the_detector_the_window_is_done_as_in_openai_whisper_but_speech_behind_its_text_is_told_of() -> None:
    clip = replace(make_clip_context(12, vad_filter=False), detect_speech=lambda: make_pauseless_map((0, 7), (7.5, 12)))
    decoder = ScriptedDecoder(say_until(500))
    found, skipped, _ = run_to_end(plan_of("sequential", clip, 1200), decoder)
    assert ([(it.start_s, it.end_s) for it in found], len(decoder.requests)) == ([(0, 5)], 1)
    assert [(it.start_s, it.end_s, it.reason) for it in skipped] == [(5, 12, "no_text")]


def test_a_text_that_makes_no_progress_is_not_decoded_for_ever() -> None:
    clip = make_clip_context(12, make_pauseless_map((0, 12)))
    decoder = ScriptedDecoder(say_until(20))
    _, skipped, _ = run_to_end(plan_of("sequential", clip, 1200), decoder)
    assert [request.frames for request in decoder.requests] == [1200, 590, 590]
    assert [(it.end_s, it.reason) for it in skipped] == [(12, "no_text")]


def test_the_rest_behind_a_removed_loop_is_told_of_and_not_decoded() -> None:
    clip = make_clip_context(12, make_pauseless_map((0, 12)))
    decoder = ScriptedDecoder(say_until(500), is_truncated=True)
    _, skipped, _ = run_to_end(plan_of("sequential", clip, 1200), decoder)
    assert (len(decoder.requests), [it.reason for it in skipped]) == (1, ["no_text"])


@both_plans
def test_with_multilingual_both_parts_are_decoded_in_their_own_language(plan: str) -> None:
    clip = make_clip_context(12, make_pauseless_map((0, 12)), multilingual=True)
    decoder = ScriptedDecoder(say_until(500))
    found, _, _ = run_to_end(plan_of(plan, clip, 1200, language=None), decoder)
    assert [(it.start_s, it.end_s) for it in found] == [(0, 5), (5, 10), (10, 12)]
    # the whole; what its text reached; the rest, and what of that the text reached
    assert [request.frames for request in decoder.requests] == [1200, 500, 700, 500, 200]
    assert {request.options.language for request in decoder.requests} == {None}
    assert decoder.requests[1].options.prompt == decoder.requests[0].options.prompt == ()


# --- text that was cut ----------------------------------------------------------------------------


class LimitedDecoder(ScriptedDecoder):
    """Reaches the maximum of tokens in windows longer than 8 s."""

    def __call__(self, request: WindowRequest, *, is_first: bool) -> Any:
        self._fields["finish_reason"] = "length" if request.frames > 800 else "stop"
        return super().__call__(request, is_first=is_first)


def say_all(request: WindowRequest) -> list[int]:
    return [timestamp_at(0), *speak(1200)]


@both_plans
def test_a_window_with_more_text_than_it_may_have_is_decoded_in_parts_that_end_in_a_pause(plan: str) -> None:
    clip = make_clip_context(12, make_pauseless_map((0, 4), (4.5, 7), (7.1, 12)))
    decoder = LimitedDecoder(say_all)
    found, skipped, summary = run_to_end(plan_of(plan, clip, 1200), decoder)
    assert [request.frames for request in decoder.requests] == [1200, 425, 775]
    assert ([(it.start_s, it.end_s) for it in found], skipped) == ([(0, 4.1), (4.4, 12)], [])
    assert summary.warnings == ()


@pytest.mark.parametrize(
    ("has_vad", "options", "attempts"),
    [
        (False, {}, ()),  # openai-whisper's behaviour
        (True, {"max_new_tokens": 21}, ()),  # asked for
        (True, {}, (DecodingAttempt(temperature=1.0, avg_logprob=-2, compression_ratio=1, rejection_reason="x"),)),
    ],
)
def test_a_text_that_stays_cut_is_warned_of(
    has_vad: bool, options: dict[str, Any], attempts: tuple[DecodingAttempt, ...]
) -> None:
    clip = make_clip_context(12, make_pauseless_map((0, 12)) if has_vad else None, **options)
    decoder = LimitedDecoder(say_all, attempts=attempts)
    found, _, summary = run_to_end(plan_of("sequential", clip, 1200), decoder)
    assert (len(decoder.requests), [(it.start_s, it.end_s) for it in found]) == (1, [(0, 12)])
    (warning,) = summary.warnings
    assert "0.00-12.00 s" in warning
    assert "122" in warning


def test_a_cut_text_with_a_pair_of_timestamps_is_decoded_again_from_there_without_a_warning() -> None:
    def script(request: WindowRequest) -> list[int]:
        return [timestamp_at(0), *speak(600), timestamp_at(600), timestamp_at(600), *b"b"]

    clip = make_clip_context(12, make_pauseless_map((0, 12)))
    decoder = ScriptedDecoder(script, finish_reason="length")
    _, _, summary = run_to_end(plan_of("sequential", clip, 1200), decoder)
    assert [request.frames for request in decoder.requests] == [1200, 600]
    assert summary.warnings == ()


def test_a_text_without_an_end_that_is_too_short_for_its_speech_is_decoded_in_parts_where_windows_come_one_by_one() -> (
    None
):
    clip = replace(make_clip_context(12, make_pauseless_map((0, 5), (6, 12))), tries_again=False)
    decoder = ScriptedDecoder(lambda request: b"ab")
    found, _, _ = run_to_end(plan_of("sequential", clip, 1200), decoder)
    assert [request.frames for request in decoder.requests] == [1200, 550, 650]
    assert [(it.start_s, it.end_s) for it in found] == [(0, 5.1), (5.9, 12)]


# --- times beyond the audio -----------------------------------------------------------------------


@both_plans
def test_times_end_with_the_audio_of_the_window(plan: str) -> None:
    clip = make_clip_context(0.2, make_pauseless_map((0, 0.2)))
    found, _, _ = run_to_end(
        plan_of(plan, clip, 20), ScriptedDecoder(lambda request: [timestamp_at(0), *b"a", timestamp_at(50)])
    )
    assert [(it.start_s, it.end_s) for it in found] == [(0, 0.2)]


def test_a_segment_behind_the_audio_of_its_window_is_skipped_though_speech_follows_in_the_clip() -> None:
    def script(request: WindowRequest) -> list[int]:
        if request.frames == 500:  # of speech, and 20 s of nothing behind
            return [timestamp_at(0), *b"a", timestamp_at(500), timestamp_at(1000), *b"x", timestamp_at(1200)]
        return [timestamp_at(0), *b"b", timestamp_at(request.frames)]

    clip = make_clip_context(20, make_pauseless_map((0, 5), (10, 20)))
    found, skipped, _ = run_to_end(plan_of("sequential", clip, 2000), ScriptedDecoder(script))
    assert [(it.text, it.start_s, it.end_s) for it in found] == [("a", 0, 5), ("b", 10, 20)]
    assert [(it.text, it.start_s, it.end_s) for it in skipped if it.text] == [("x", 4.98, 5)]


@pytest.mark.parametrize("plan", ["sequential", "batched"])
@pytest.mark.parametrize(("at", "region"), [(0, (0.0, 0.02)), (250, (2.5, 2.52)), (500, (4.98, 5.0))])
def test_a_text_without_a_length_is_a_region_of_the_shortest_length_inside_its_window(
    plan: str, at: int, region: tuple[float, float]
) -> None:
    clip = make_clip_context(5, make_pauseless_map((0, 5)))
    marks = [timestamp_at(0), timestamp_at(at)]
    decoder = ScriptedDecoder(lambda request: [marks[0], *b"a", marks[1], marks[1], *b"made up", marks[1]])
    _, skipped, _ = run_to_end(plan_of(plan, clip, 500), decoder)
    assert ("empty", *region) in [(it.reason, round(it.start_s, 2), round(it.end_s, 2)) for it in skipped]
    assert all(it.start_s < it.end_s for it in skipped)
