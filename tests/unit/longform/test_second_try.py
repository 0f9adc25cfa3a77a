"""Speech whose text is missing is decoded again, its text taken where it is better, and told of where it is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from neuron_whisper.audio.mel import LogMel
from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.decode.window import WindowRequest
from neuron_whisper.longform.batched import decode_batched
from neuron_whisper.longform.clip_context import ClipContext, PromptState
from neuron_whisper.longform.plan import Plan
from neuron_whisper.longform.sequential import decode_sequential
from tests.support.plans import (
    RATE,
    TOKENIZER,
    ScriptedDecoder,
    make_clip_context,
    make_pauseless_map,
    run_to_end,
    timestamp_at,
)

NEAR, FAR = 0.5, 0.005  # -40 dB
Script = Callable[[WindowRequest], Sequence[int]]

both_plans = pytest.mark.parametrize("plan", ["sequential", "batched"])


def plan_of(name: str, clip: ClipContext, *, prompt: str = "") -> Plan:
    initial = tuple(TOKENIZER.encode(prompt))
    state = PromptState(language="en", tokens=list(initial), initial_tokens=initial)
    regions = [(0, clip.mel.content_frames)]
    if name == "batched":
        return decode_batched(clip, state, regions, concurrency=2)
    return decode_sequential(clip, state, regions)


def speak(frames: int, letter: str = "a") -> list[int]:
    """A text that is long enough for so many frames of speech: 10 letters a second."""
    return [*b" ", *letter.encode() * (frames // 10)]


def frames_of(decoder: ScriptedDecoder) -> list[int]:
    return [request.frames for request in decoder.requests]


# --- far speakers ---------------------------------------------------------------------------------

ROOM = ((0.0, 4.0, NEAR), (5.0, 9.0, FAR), (10.0, 12.0, NEAR))


def make_room(
    *speech: tuple[float, float, float], heard: Sequence[tuple[float, float]] | None = None, **options: Any
) -> ClipContext:
    """Tones at (start, end, level) of 12 s; the detector hears `heard`, all of them by default."""
    samples = np.zeros(12 * RATE, np.float32)
    for start_s, end_s, level in speech:
        times = np.arange(int(start_s * RATE), int(end_s * RATE))
        samples[times] = level * np.sin(2 * np.pi * 440 * times / RATE)
    return ClipContext(
        mel=LogMel.from_samples(samples, 80),
        options=TranscribeOptions(**options),
        tokenizer=TOKENIZER,
        speech_map=make_pauseless_map(*(heard or [(start_s, end_s) for start_s, end_s, _ in speech])),
    )


def hear_near(request: WindowRequest, least_frames: int = 50) -> list[int]:
    """A script: what is 24 dB below the loudest sound of its window is not heard."""
    levels = request.mel[:, : request.frames].max(axis=0)
    edges = np.flatnonzero(np.diff(levels > levels.max() - 0.6, prepend=False, append=False)).reshape(-1, 2)
    runs = [(int(a), int(b)) for a, b in edges if b - a >= least_frames]
    letter = "abcdefgh"[request.frames // 20 % 8]
    return [token for a, b in runs for token in (timestamp_at(a), *speak(b - a, letter), timestamp_at(b))]


def stretch_near(request: WindowRequest) -> list[int]:
    """A script: as hear_near, but each text is stretched over what is not heard behind it."""
    tokens = hear_near(request)
    begins = [i for i in range(0, len(tokens)) if tokens[i] > 256 and i + 1 < len(tokens) and tokens[i + 1] <= 256]
    for begin in begins[1:]:
        tokens[begin - 1] = tokens[begin]
    return tokens


@both_plans
def test_a_far_speaker_between_near_ones_is_decoded_by_itself_and_louder(plan: str) -> None:
    decoder = ScriptedDecoder(hear_near)
    found, skipped, summary = run_to_end(plan_of(plan, make_room(*ROOM)), decoder)
    assert frames_of(decoder) == [1200, 460]
    assert [(round(it.start_s, 1), round(it.end_s, 1)) for it in found] == [(0, 4), (4.9, 9), (10, 12)]
    assert [it.id for it in found] == [0, 1, 2]
    assert (skipped, summary.warnings) == ([], ())
    assert summary.text == "".join(it.text for it in found).strip()


@both_plans
def test_a_far_speaker_whom_a_near_ones_text_is_stretched_over_is_decoded_with_him(plan: str) -> None:
    decoder = ScriptedDecoder(stretch_near)
    found, skipped, _ = run_to_end(plan_of(plan, make_room(*ROOM)), decoder)
    assert len(frames_of(decoder)) == 2
    assert [round(it.start_s) for it in found] == [0, 5, 10]
    assert skipped == []


def test_what_the_detector_does_not_hear_is_not_made_louder() -> None:
    decoder = ScriptedDecoder(hear_near)
    clip = make_room((0.0, 4.0, NEAR), (4.5, 6.5, FAR), (6.9, 12.0, NEAR), heard=[(0, 4), (6.9, 12)])
    found, _, summary = run_to_end(plan_of("sequential", clip), decoder)
    assert (frames_of(decoder), len(found), summary.warnings) == ([1200], 2, ())


@both_plans
def test_a_far_speaker_whom_nobody_understands_is_told_of_with_his_times(plan: str) -> None:
    def script(request: WindowRequest) -> list[int]:
        return hear_near(request) if request.frames == 1200 else []

    decoder = ScriptedDecoder(script)
    found, skipped, _ = run_to_end(plan_of(plan, make_room(*ROOM)), decoder)
    assert frames_of(decoder) == [1200, 460, 230, 230]
    assert len(found) == 2
    assert [(round(it.start_s), round(it.end_s), it.reason) for it in skipped] == [(4, 10, "no_text")]


@pytest.mark.parametrize("field", [{"avg_logprob": -1.2}, {"no_speech_prob": 0.7}, {"is_truncated": True}])
def test_a_second_text_of_which_the_model_is_not_sure_is_not_taken(field: dict[str, Any]) -> None:
    class Unsure(ScriptedDecoder):
        def __call__(self, request: WindowRequest, *, is_first: bool) -> Any:
            self._fields = {} if is_first else field
            return super().__call__(request, is_first=is_first)

    found, skipped, _ = run_to_end(plan_of("sequential", make_room(*ROOM)), Unsure(hear_near))
    assert (len(found), [it.reason for it in skipped]) == (2, ["no_text"])


def test_a_second_text_that_is_too_short_for_its_speech_is_taken_for_made_up() -> None:
    def script(request: WindowRequest) -> list[int]:
        if request.frames == 1200:
            return hear_near(request)
        return [timestamp_at(0), *b" Thank you.", timestamp_at(request.frames)]

    found, skipped, _ = run_to_end(plan_of("sequential", make_room(*ROOM)), ScriptedDecoder(script))
    assert (len(found), [it.reason for it in skipped]) == (2, ["no_text"])


def test_a_second_text_that_the_segment_before_it_has_already_is_not_said_twice() -> None:
    def script(request: WindowRequest) -> list[int]:
        text = b" printing then for our purpose may be considered as the art of making books by movable types"
        if request.frames == 1200:
            return [timestamp_at(0), *text, timestamp_at(400), timestamp_at(850), *speak(350), timestamp_at(1200)]
        return [timestamp_at(0), *text[-30:], timestamp_at(request.frames)]

    clip = make_room((0.0, 4.0, NEAR), (4.5, 8.0, NEAR), (8.5, 12.0, NEAR))
    found, skipped, _ = run_to_end(plan_of("sequential", clip), ScriptedDecoder(script))
    assert (len(found), [it.reason for it in skipped]) == (2, ["no_text"])


# --- a text that is stretched over the rest of its window -----------------------------------------


def swallow(request: WindowRequest) -> list[int]:
    """A script: in a window that is longer than 7 s, the text of its first 2 s, stretched to its end."""
    spoken = speak(200 if request.frames > 700 else request.frames, "ab"[request.frames <= 700])
    return [timestamp_at(0), *spoken, timestamp_at(request.frames)]


@both_plans
def test_a_text_that_is_stretched_over_more_speech_is_decoded_in_halves_that_meet_in_a_pause(plan: str) -> None:
    clip = make_clip_context(12, make_pauseless_map((0, 5), (6, 12)))
    decoder = ScriptedDecoder(swallow)
    found, skipped, summary = run_to_end(plan_of(plan, clip), decoder)
    assert frames_of(decoder) == [1200, 550, 650]
    assert [(it.start_s, it.end_s) for it in found] == [(0, 5.1), (5.9, 12)]
    assert (skipped, summary.warnings) == ([], ())
    assert [request.options.prompt for request in decoder.requests] == [(), (), ()]


@both_plans
def test_a_text_without_a_timestamp_is_decoded_in_halves_too(plan: str) -> None:
    clip = make_clip_context(12, make_pauseless_map((0, 5), (6, 12)), without_timestamps=True)
    decoder = ScriptedDecoder(lambda request: [token for token in swallow(request) if token <= 256])
    found, _, _ = run_to_end(plan_of(plan, clip), decoder)
    assert [(it.start_s, it.end_s) for it in found] == [(0, 5.1), (5.9, 12)]


def test_halves_that_find_something_are_halved_again() -> None:
    clip = make_clip_context(24, make_pauseless_map((0, 6), (6.5, 12), (13, 18), (18.5, 24)))
    decoder = ScriptedDecoder(swallow)
    found, _, summary = run_to_end(plan_of("sequential", clip), decoder)
    assert frames_of(decoder) == [2400, 1250, 1150, 625, 625, 575, 575]
    assert [round(it.start_s) for it in found] == [0, 6, 13, 18]
    assert summary.warnings == ()


@both_plans
def test_with_a_prompt_the_whole_is_decoded_without_it_first(plan: str) -> None:
    def script(request: WindowRequest) -> list[int]:
        spoken = speak(200 if request.options.prompt else request.frames)
        return [timestamp_at(0), *spoken, timestamp_at(request.frames)]

    decoder = ScriptedDecoder(script)
    clip = make_clip_context(12, make_pauseless_map((0, 12)), hotwords="Nakamura")
    found, _, summary = run_to_end(plan_of(plan, clip, prompt=" Names: Zyntharyx"), decoder)
    assert frames_of(decoder) == [1200, 1200]
    assert [len(request.options.prompt) > 0 for request in decoder.requests] == [True, False]
    assert [len(request.options.hotwords) > 0 for request in decoder.requests] == [True, False]
    assert ([it.text for it in found], summary.text) == ([" " + "a" * 120], "a" * 120)


def test_the_next_window_is_prompted_with_the_text_that_was_taken() -> None:
    clip = make_clip_context(40, make_pauseless_map((0, 15), (16, 29.5), (34, 39)))

    def script(request: WindowRequest) -> list[int]:
        spoken = speak(200, "x") if request.frames > 2000 else speak(request.frames, "y")
        return [timestamp_at(0), *spoken, timestamp_at(request.frames)]

    decoder = ScriptedDecoder(script)
    _, _, summary = run_to_end(plan_of("sequential", clip), decoder)
    prompt = TOKENIZER.decode(list(decoder.requests[-1].options.prompt))
    assert "x" not in prompt + summary.text
    assert prompt.split() == summary.text.split()[:2]


@both_plans
def test_a_text_that_stays_too_short_is_told_of_with_its_times_and_not_decoded_for_ever(plan: str) -> None:
    clip = make_clip_context(12, make_pauseless_map((0, 12)))

    def script(request: WindowRequest) -> list[int]:
        return [timestamp_at(0), *(speak(200) if request.frames == 1200 else b" a"), timestamp_at(request.frames)]

    decoder = ScriptedDecoder(script)
    found, _, summary = run_to_end(plan_of(plan, clip), decoder)
    assert frames_of(decoder) == [1200, 600, 600]
    assert [(it.start_s, it.end_s) for it in found] == [(0, 12)]
    (warning,) = summary.warnings
    assert "0.0-12.0 s" in warning


def test_music_that_has_little_text_is_not_decoded_again_and_again() -> None:
    speech = make_pauseless_map(*((at, at + 29.9) for at in range(0, 300, 30)))
    decoder = ScriptedDecoder(lambda request: [timestamp_at(0), *b" la la la", timestamp_at(request.frames)])
    _, _, summary = run_to_end(plan_of("sequential", make_clip_context(300, speech)), decoder)
    n_whole = sum(request.frames > 2000 for request in decoder.requests)
    assert len(decoder.requests) - n_whole <= n_whole
    (warning,) = summary.warnings
    assert "and 5 more" in warning


# --- what is not decoded again --------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "a" * 45,  # slow speech, four letters a second
        "1, 2, 3, 4, 5, 6, 7, 8, 9, 10",
        "但直到二千年三月才開始通車",
        "こんにちは世界のみなさんおはようございます",
    ],
)
def test_slow_speech_numerals_and_scripts_without_spaces_are_decoded_once(text: str) -> None:
    decoder = ScriptedDecoder(lambda request: [timestamp_at(0), *text.encode(), timestamp_at(request.frames)])
    _, _, summary = run_to_end(plan_of("sequential", make_clip_context(10, make_pauseless_map((0, 10)))), decoder)
    assert (frames_of(decoder), summary.warnings) == ([1000], ())


@pytest.mark.parametrize("text", ["你好事件", "こんにちは世界"])
def test_a_swallowed_text_in_a_script_without_spaces_is_decoded_again(text: str) -> None:
    def script(request: WindowRequest) -> list[int]:
        n = 1 if request.frames == 1200 else 3
        return [timestamp_at(0), *text.encode() * n, timestamp_at(request.frames)]

    decoder = ScriptedDecoder(script)
    found, _, _ = run_to_end(plan_of("sequential", make_clip_context(12, make_pauseless_map((0, 12)))), decoder)
    assert (frames_of(decoder), len(found)) == ([1200, 600, 600], 2)


def test_without_the_detector_nothing_is_decoded_again_but_it_is_told_of() -> None:
    clip = replace(make_clip_context(12, vad_filter=False), detect_speech=lambda: make_pauseless_map((0, 12)))
    decoder = ScriptedDecoder(swallow)
    found, _, summary = run_to_end(plan_of("sequential", clip), decoder)
    assert (frames_of(decoder), [(it.start_s, it.end_s) for it in found]) == ([1200], [(0, 12)])
    (warning,) = summary.warnings
    assert "0.0-12.0 s" in warning


@pytest.mark.parametrize("options", [{"max_new_tokens": 20}, {"tries_again": False}])
def test_a_text_that_is_to_be_short_and_a_window_at_a_time_are_decoded_once(options: dict[str, Any]) -> None:
    clip = make_clip_context(12, make_pauseless_map((0, 12)), **{k: v for k, v in options.items() if k[0] == "m"})
    clip = replace(clip, tries_again=options.get("tries_again", True))
    decoder = ScriptedDecoder(swallow)
    run_to_end(plan_of("sequential", clip), decoder)
    assert frames_of(decoder) == [1200]
