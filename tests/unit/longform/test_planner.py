"""Which plan a make_clip gets, and over which regions."""

from __future__ import annotations

from concurrent.futures import Future

import numpy as np
import pytest

from neuron_whisper.audio.clip import AudioClip
from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.decode.window import DecodingResult, WindowRequest
from neuron_whisper.errors import InvalidOption
from neuron_whisper.longform import plan_transcription
from tests.support.plans import (
    RATE,
    TOKENIZER,
    ScriptedDecoder,
    make_clip,
    run_to_end,
)
from tests.support.signals import babble


def test_only_the_given_ranges_are_decoded() -> None:
    decoder = ScriptedDecoder()
    plan = plan_transcription(
        make_clip(50),
        TranscribeOptions(clip_timestamps=(5.0, 9.0, 41.0), vad_filter=False),
        TOKENIZER,
        n_mels=80,
        concurrency=2,
    )
    found, _, _ = run_to_end(plan, decoder)
    assert [(segment.start_s, segment.end_s) for segment in found] == [(5.0, 9.0), (41.0, 50.0)]
    assert [request.frames for request in decoder.requests] == [400, 900]


@pytest.mark.parametrize(
    ("times", "spans"),
    [("0", [(0, 60)]), ("3", [(3, 60)]), ("5, 9,41", [(5, 9), (41, 60)]), ("", [(0, 60)]), (3, [(3, 60)])],
)
def test_ranges_may_be_a_text_as_in_openai_whisper(
    times: str | tuple[float, ...], spans: list[tuple[int, int]]
) -> None:
    options = TranscribeOptions(clip_timestamps=times, vad_filter=False)
    plan = plan_transcription(make_clip(60), options, TOKENIZER, n_mels=80, concurrency=1)
    segments, _, _ = run_to_end(plan)
    starts, ends = {segment.start_s for segment in segments}, {segment.end_s for segment in segments}
    assert {start for start, _ in spans} <= starts
    assert {end for _, end in spans} <= ends
    assert min(starts) == spans[0][0]
    assert max(ends) == spans[-1][1]


@pytest.mark.parametrize("times", [(12.0,), (10.0, 11.0), (2.0, 4.0, 30.0, 31.0)])
@pytest.mark.parametrize("long_form", ["sequential", "batched"])
def test_a_range_that_begins_behind_the_clip_is_refused_by_name(times: tuple[float, ...], long_form: str) -> None:
    options = TranscribeOptions(clip_timestamps=times, long_form=long_form)
    with pytest.raises(InvalidOption) as refused:
        plan_transcription(make_clip(10), options, TOKENIZER, n_mels=80, concurrency=1)
    assert (refused.value.field, refused.value.value) == ("clip_timestamps", list(times))


@pytest.mark.parametrize("times", [(0.0,), (9.5,), (2.0, 40.0)])
def test_a_range_may_end_behind_the_clip(times: tuple[float, ...]) -> None:
    options = TranscribeOptions(clip_timestamps=times, vad_filter=False)
    plan = plan_transcription(make_clip(10), options, TOKENIZER, n_mels=80, concurrency=1)
    found, _, _ = run_to_end(plan, ScriptedDecoder())
    assert [(segment.start_s, segment.end_s) for segment in found] == [(times[0], 10.0)]


def test_a_language_that_the_model_does_not_know_is_refused_before_anything_is_decoded() -> None:
    with pytest.raises(InvalidOption, match="language"):
        plan_transcription(make_clip(1), TranscribeOptions(language="ja"), TOKENIZER, n_mels=80, concurrency=1)


# --- silence names no language ----------------------------------------------------------------------


@pytest.mark.parametrize("long_form", ["sequential", "batched"])
def test_a_clip_without_speech_has_no_language_but_the_one_that_was_given(long_form: str) -> None:
    silence = AudioClip(samples=np.zeros(40 * RATE, np.float32))
    for given, named in ((None, None), ("es", "es")):
        options = TranscribeOptions(long_form=long_form, language=given)
        plan = plan_transcription(silence, options, TOKENIZER, n_mels=80, concurrency=4)
        _, _, summary = run_to_end(plan)
        assert (summary.language, summary.language_probability) == (named, None)


class SilentFirst(ScriptedDecoder):
    """Takes so many windows for silence, in a language of their own."""

    def __init__(self, n_silent: int) -> None:
        super().__init__()
        self._n_silent = n_silent

    def __call__(self, request: WindowRequest, *, is_first: bool) -> Future[DecodingResult]:
        is_silence = len(self.requests) < self._n_silent
        code = "zh" if is_silence else "de"
        self._fields = {"is_silence": is_silence, "language": code, "language_probs": {code: 0.7}}
        return super().__call__(request, is_first=is_first)


@pytest.mark.parametrize("long_form", ["sequential", "batched"])
@pytest.mark.parametrize(("n_silent", "found"), [(0, ("de", 0.7)), (1, ("de", 0.7)), (9, (None, None))])
def test_a_window_taken_for_silence_does_not_choose_the_language(
    long_form: str, n_silent: int, found: tuple[str | None, float | None]
) -> None:
    options = TranscribeOptions(long_form=long_form, vad_filter=False, condition_on_previous_text=False)
    clip = AudioClip(samples=np.tile(babble(8), 12))
    plan = plan_transcription(clip, options, TOKENIZER, n_mels=80, concurrency=1)
    _, _, summary = run_to_end(plan, SilentFirst(n_silent))
    assert (summary.language, summary.language_probability) == found


@pytest.mark.parametrize("long_form", ["sequential", "batched"])
def test_a_clip_of_several_languages_has_that_of_its_first_text(long_form: str) -> None:
    options = TranscribeOptions(long_form=long_form, multilingual=True)
    plan = plan_transcription(AudioClip(samples=babble(20)), options, TOKENIZER, n_mels=80, concurrency=2)
    segments, _, summary = run_to_end(plan)
    assert summary.language == segments[0].language == "de"
    assert summary.language_probability == 0.9


@pytest.mark.parametrize("long_form", ["sequential", "batched"])
@pytest.mark.parametrize(("n_silent", "found"), [(0, ("de", 0.7)), (1, ("de", 0.7)), (9, (None, None))])
def test_a_clip_of_several_languages_has_the_probability_of_its_first_text(
    long_form: str, n_silent: int, found: tuple[str | None, float | None]
) -> None:
    options = TranscribeOptions(
        long_form=long_form, vad_filter=False, condition_on_previous_text=False, multilingual=True
    )
    clip = AudioClip(samples=np.tile(babble(8), 12))
    plan = plan_transcription(clip, options, TOKENIZER, n_mels=80, concurrency=2)
    _, _, summary = run_to_end(plan, SilentFirst(n_silent))
    assert (summary.language, summary.language_probability) == found


@pytest.mark.parametrize("long_form", ["sequential", "batched"])
def test_a_language_that_was_given_has_no_probability(long_form: str) -> None:
    options = TranscribeOptions(long_form=long_form, multilingual=True, language="es")
    plan = plan_transcription(AudioClip(samples=babble(20)), options, TOKENIZER, n_mels=80, concurrency=2)
    _, _, summary = run_to_end(plan)
    assert (summary.language, summary.language_probability) == ("es", None)


# --- what is not speech -----------------------------------------------------------------------------


def sounds() -> dict[str, np.ndarray]:
    """40 s each of what is not speech."""
    rng = np.random.default_rng(0)
    n = 40 * RATE
    t = np.arange(n) / RATE
    white = rng.standard_normal(n)
    shaped = np.fft.rfft(white) / np.sqrt(np.maximum(1, np.arange(n // 2 + 1)))
    chords = sum(np.sin(2 * np.pi * hertz * t) * (np.sin(2 * np.pi * t / 4) > 0) for hertz in (262, 330, 392, 523))
    breath = white * np.maximum(0, np.sin(2 * np.pi * t / 3)) ** 4
    made = {
        "silence": np.zeros(n),
        "white noise": 0.1 * white,
        "pink noise": 10 * np.fft.irfft(shaped, n),
        "a tone": 0.3 * np.sin(2 * np.pi * 440 * t),
        "chords": 0.1 * chords,
        "breaths": 0.05 * breath,
    }
    return {name: samples.astype(np.float32) for name, samples in made.items()}


@pytest.mark.parametrize("sound", sounds())
def test_what_is_not_speech_gives_no_text_by_either_plan(sound: str) -> None:
    for long_form in ("sequential", "batched"):
        decoder = ScriptedDecoder()
        options = TranscribeOptions(long_form=long_form)
        clip_data = AudioClip(samples=sounds()[sound])
        found, _, summary = run_to_end(
            plan_transcription(clip_data, options, TOKENIZER, n_mels=80, concurrency=4), decoder
        )
        assert (found, summary.text, decoder.requests) == ([], "", [])
