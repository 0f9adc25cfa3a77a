"""What windows of a clip share: their prompt, and the speech that is measured where the detector is off."""

from __future__ import annotations

from dataclasses import replace

from neuron_whisper.longform.clip_context import PromptState
from neuron_whisper.longform.speech_map import SpeechMap
from tests.support.plans import TOKENIZER, make_clip_context, make_pauseless_map


def test_a_carried_prompt_is_kept_apart_from_the_recent_text() -> None:
    clip = make_clip_context(1, initial_prompt="ab", carry_initial_prompt=True, hotwords="h")
    initial = clip.encode_initial_prompt()
    window = clip.build_window_options(
        PromptState(language="en", tokens=[*initial, ord("x")], initial_tokens=initial, is_first=False)
    )
    assert TOKENIZER.decode(window.carried_prompt) == " ab"
    assert TOKENIZER.decode(window.prompt) == "x"


def test_without_the_detector_speech_is_measured_only_for_a_stretch_that_may_hold_a_word() -> None:
    calls: list[None] = []

    def detect() -> SpeechMap:
        calls.append(None)
        return make_pauseless_map((1.0, 3.0))

    clip = replace(make_clip_context(5), detect_speech=detect)
    assert clip.measure_speech(1.0, 1.2) == 0.0
    assert calls == []
    assert clip.measure_speech(0.0, 2.5) == 1.5
    assert len(calls) == 1


def test_the_language_of_every_window_is_detected_only_if_none_is_given() -> None:
    assert make_clip_context(1, multilingual=True).detects_every_language
    assert not make_clip_context(1, multilingual=True, language="de").detects_every_language
    assert not make_clip_context(1).detects_every_language
