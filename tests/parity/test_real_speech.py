"""Real speech through real weights: tiny.en on the CPU target, from file to text."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import pytest

from neuron_whisper.audio.load import load_audio
from neuron_whisper.profile import load_profile
from neuron_whisper.transcriber import Transcriber
from tests.support.paths import SPEECH
from tests.support.speech import needs_recordings, open_model, words

JFK = "And so, my fellow Americans, ask not what your country can do for you, ask what you can do for your country."

pytestmark = needs_recordings


@pytest.fixture(scope="module")
def transcriber() -> Iterator[Transcriber]:
    with open_model("tiny.en") as made:
        yield made


@pytest.mark.parametrize("file", ["en_jfk.flac", "en_jfk.mp3"])
def test_a_known_sentence_is_understood(file: str, transcriber: Transcriber) -> None:
    transcript = transcriber.transcribe(load_audio(SPEECH / file))
    assert words(transcript.text) == words(JFK)
    assert transcript.language == "en"
    assert transcript.segments[-1].end_s <= transcript.duration_s + 0.5


def test_eight_clips_at_once_give_the_texts_of_one_after_another(transcriber: Transcriber) -> None:
    clips = [load_audio(path) for path in sorted(SPEECH.glob("en_LJ001-000[1-8]*"))]
    one_by_one = [transcriber.transcribe(clip).text for clip in clips]
    with ThreadPoolExecutor(8) as pool:
        at_once = list(pool.map(lambda clip: transcriber.transcribe(clip).text, clips))
    assert at_once == one_by_one
    assert len(set(at_once)) == 8


def test_a_clip_of_many_windows_is_heard_to_its_end(transcriber: Transcriber) -> None:
    transcript = transcriber.transcribe(load_audio(SPEECH / "en_sonnet1.mp3"))
    starts = [segment.start_s for segment in transcript.segments]
    assert starts == sorted(starts)
    assert {segment.seek_s for segment in transcript.segments} != {0.0}, "more than one window"
    assert "fairest" in transcript.text
    assert transcript.segments[-1].end_s > 45


def test_no_segment_of_a_recording_of_four_minutes_ends_after_the_next_one_begins(transcriber: Transcriber) -> None:
    transcript = transcriber.transcribe(load_audio(SPEECH / "en_long_LJ001_0001-0032.mp3"))
    times = [second for segment in transcript.segments for second in (segment.start_s, segment.end_s)]
    assert (transcript.long_form, transcript.skipped) == ("batched", ())
    assert [*times, transcript.duration_s] == sorted([*times, transcript.duration_s])


def test_the_texts_of_short_clips_without_their_padding_are_nearly_those_with_it(
    transcriber: Transcriber, tmp_path: Path
) -> None:
    profile = tmp_path / "skip.toml"
    profile.write_text(load_profile("cpu", {"shapes.skip_padding": True}).to_toml())
    clips = [load_audio(path) for path in sorted(SPEECH.glob("en_LJ001-00*"))]
    expected = [words(transcriber.transcribe(clip).text) for clip in clips]
    with open_model("tiny.en", profile=str(profile)) as skipping:
        found = [words(skipping.transcribe(clip).text) for clip in clips]
    assert len(clips) == 16
    ratios = [SequenceMatcher(None, a, b, autojunk=False).ratio() for a, b in zip(found, expected, strict=True)]
    assert np.mean(ratios) > 0.95
    assert min(ratios) > 0.8
