"""The transcriber on a session without a network: threads and asyncio, skipped regions, background clips, the end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from neuron_whisper.audio.clip import AudioClip
from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.errors import EngineDraining, InvalidOption
from neuron_whisper.live import LiveOptions
from neuron_whisper.longform import TranscriptSummary
from neuron_whisper.transcriber import Transcriber, build_transcript
from neuron_whisper.transcript import Segment, SkippedRegion
from tests.support.servers import make_transcriber

OPTIONS = TranscribeOptions(language="en", vad_filter=False, temperature=0.0)


@pytest.fixture
def transcriber() -> Iterator[Transcriber]:
    made, _ = make_transcriber(slots=4)
    yield made
    made.close()


def clip(seconds: float) -> AudioClip:
    t = np.arange(int(seconds * 16_000)) / 16_000
    return AudioClip(samples=(0.1 * np.sin(2 * np.pi * (200 + 20 * t) * t)).astype(np.float32), warnings=("odd",))


def test_threads_and_asyncio_give_the_same_transcript(transcriber: Transcriber) -> None:
    expected = transcriber.transcribe(clip(40), OPTIONS)
    assert asyncio.run(transcriber.atranscribe(clip(40), OPTIONS)) == expected
    assert expected.text
    assert expected.warnings == ("odd",)


def test_segments_are_reported_as_they_are_done(transcriber: Transcriber) -> None:
    found: list[Segment] = []
    transcript = transcriber.transcribe(clip(65), OPTIONS, on_segment=found.append)
    assert tuple(found) == transcript.segments


def test_a_run_ends_with_the_summary(transcriber: Transcriber) -> None:
    *_, last = transcriber.run(clip(1), OPTIONS)
    assert isinstance(last, TranscriptSummary)


def test_skipped_regions_are_counted_by_reason(transcriber: Transcriber) -> None:
    silent = AudioClip(samples=np.zeros(16_000 * 5, np.float32))
    transcript = asyncio.run(transcriber.atranscribe(silent, TranscribeOptions(language="en")))
    assert [region.reason for region in transcript.skipped] == ["vad"]
    assert transcriber.skipped_counts == {"vad": 1}


@pytest.mark.parametrize("long_form", ["sequential", "batched"])
@pytest.mark.parametrize("noise", [0.0, 0.0003])
def test_a_clip_that_is_all_silence_says_so_and_names_no_language(
    transcriber: Transcriber, long_form: str, noise: float
) -> None:
    samples = np.random.default_rng(0).normal(0, noise, 16_000 * 5).astype(np.float32)
    quiet = AudioClip(samples=samples, warnings=("odd",))
    transcript = transcriber.transcribe(quiet, TranscribeOptions(long_form=long_form))
    assert (transcript.text, transcript.segments, transcript.language) == ("", (), None)
    first, second = transcript.warnings
    assert first == "odd"
    assert "no speech" in second


@pytest.mark.parametrize("long_form", ["sequential", "batched"])
@pytest.mark.parametrize("given", [None, "en"])
def test_an_english_only_model_names_no_language_of_silence_unless_it_was_given(
    long_form: str, given: str | None
) -> None:
    transcriber, _ = make_transcriber(is_multilingual=False)
    silent = AudioClip(samples=np.zeros(16_000 * 5, np.float32))
    assert transcriber.transcribe(silent, TranscribeOptions(long_form=long_form, language=given)).language == given
    transcriber.close()


@pytest.mark.parametrize("long_form", ["sequential", "batched"])
def test_every_segment_has_its_language_from_an_english_only_model_too(long_form: str) -> None:
    for is_multilingual, language in ((False, None), (True, "de")):
        transcriber, _ = make_transcriber(is_multilingual=is_multilingual)
        options = TranscribeOptions(vad_filter=False, temperature=0.0, long_form=long_form, language=language)
        transcript = transcriber.transcribe(speech(70), options)
        assert {segment.language for segment in transcript.segments} == {language or "en"} == {transcript.language}
        transcriber.close()


def test_speech_without_text_and_text_of_low_confidence_are_warned_of_with_their_times() -> None:
    summary = TranscriptSummary(text="", language="en", language_probability=None)
    lost = [SkippedRegion(start_s=float(at), end_s=at + 0.5, reason="no_text") for at in range(7)]
    unsure = SkippedRegion(start_s=9.0, end_s=30.0, reason="no_speech_threshold", text="the whole report")
    warnings = build_transcript(clip(30), OPTIONS, [*lost, unsure, summary], took_s=0.1).warnings
    assert len(warnings) == 3
    assert "4.0-4.5 s and 2 more" in warnings[1]
    assert "9.0-30.0 s" in warnings[2]


def test_a_clip_with_text_or_with_text_that_was_skipped_is_not_called_silence(transcriber: Transcriber) -> None:
    summary = TranscriptSummary(text="", language="en", language_probability=None)
    skipped = SkippedRegion(start_s=0.0, end_s=1.0, reason="hallucination", text="Thank you.")
    assert build_transcript(clip(1), OPTIONS, [skipped, summary], took_s=0.1).warnings == ("odd",)
    assert transcriber.transcribe(clip(5), OPTIONS).warnings == ("odd",)


@pytest.mark.parametrize(("low_priority", "at_once"), [(False, 4), (True, 2)])
def test_a_clip_of_low_priority_uses_half_of_the_slots(low_priority: bool, at_once: int) -> None:
    transcriber, session = make_transcriber(slots=4)
    options = TranscribeOptions(
        language="en",
        long_form="batched",
        temperature=0.0,
        condition_on_previous_text=False,
        clip_timestamps=tuple(float(second) for second in range(0, 120, 10)),
    )

    async def run() -> None:
        async for _ in transcriber.arun(speech(120), options, low_priority=low_priority):
            pass

    asyncio.run(run())
    transcriber.close()
    assert max(session.active_per_step) == at_once


def speech(seconds: float) -> AudioClip:
    """Vowels, which the voice detector takes for speech."""
    from tests.support.scripted_model import synthesize_speech

    return AudioClip(samples=np.asarray(synthesize_speech(seconds), np.float32))


def test_a_transcript_is_built_from_all_events() -> None:
    segment = Segment(
        id=0,
        seek_s=0.0,
        start_s=0.0,
        end_s=1.0,
        text=" a",
        tokens=(1,),
        temperature=0.0,
        avg_logprob=0.0,
        compression_ratio=1.0,
        no_speech_prob=0.0,
    )
    region = SkippedRegion(start_s=1.0, end_s=2.0, reason="vad")
    summary = TranscriptSummary(text="a", language="en", language_probability=0.9)
    transcript = build_transcript(clip(2), OPTIONS, [segment, region, summary], took_s=0.1)
    assert (transcript.segments, transcript.skipped, transcript.text) == ((segment,), (region,), "a")
    assert (transcript.duration_s, transcript.task, transcript.language_probability) == (2.0, "transcribe", 0.9)


def test_after_draining_no_clip_is_taken(transcriber: Transcriber) -> None:
    assert transcriber.drain(5.0)
    with pytest.raises(EngineDraining):
        transcriber.transcribe(clip(1), OPTIONS)


def test_languages_are_those_of_the_model() -> None:
    for is_multilingual, expected in ((True, 5), (False, 1)):
        made, _ = make_transcriber(is_multilingual=is_multilingual)
        assert len(made.languages) == expected
        assert made.only_language == (None if is_multilingual else "en")
        made.close()


@pytest.mark.parametrize("options", [{"task": "translate"}, {"language": "de"}, {"languages": ("de", "fr")}])
def test_an_english_only_model_refuses_translation_and_other_languages(options: dict[str, Any]) -> None:
    transcriber, _ = make_transcriber(is_multilingual=False)
    with pytest.raises(InvalidOption):
        transcriber.transcribe(clip(1), TranscribeOptions(**options))
    with pytest.raises(InvalidOption):
        transcriber.check_options(TranscribeOptions(**options))
    with pytest.raises(InvalidOption):
        transcriber.live(LiveOptions(transcribe=TranscribeOptions(**options)))
    transcriber.close()


@pytest.mark.parametrize("long_form", ["sequential", "batched"])
@pytest.mark.parametrize("options", [{"multilingual": True}, {"languages": ("en", "de")}])
def test_an_english_only_model_warns_of_options_of_detection(long_form: str, options: dict[str, Any]) -> None:
    transcriber, _ = make_transcriber(is_multilingual=False)
    (name,) = options
    with closing(transcriber):
        found = transcriber.transcribe(clip(1), TranscribeOptions(long_form=long_form, **options))
    assert [warning for warning in found.warnings if warning.startswith(name)]
