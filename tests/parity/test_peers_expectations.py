"""What users of faster-whisper and openai-whisper rely on, as their own tests say, said of this API."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from neuron_whisper.audio.clip import AudioClip
from neuron_whisper.audio.load import load_audio
from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.transcriber import Transcriber
from neuron_whisper.transcript import Transcript, Word
from tests.support.paths import SPEECH
from tests.support.speech import needs_recordings, open_model, words

pytestmark = needs_recordings


@pytest.fixture(scope="module")
def english() -> Iterator[Transcriber]:
    with open_model("tiny.en") as made:
        yield made


@pytest.fixture(scope="module")
def multilingual() -> Iterator[Transcriber]:
    with open_model("base") as made:
        yield made


def heard(transcriber: Transcriber, file: str, channel: int | None = None, **options: object) -> Transcript:
    clip = load_audio(SPEECH / file, channel=channel)
    return transcriber.transcribe(clip, TranscribeOptions(**options))  # type: ignore[arg-type]  # by the tests' names


def all_words(transcript: Transcript) -> list[Word]:
    return [word for segment in transcript.segments for word in segment.words]


# --- words of a known sentence (both) -----------------------------------------------------------


@pytest.mark.parametrize("beam_size", [None, 5])
def test_words_join_to_their_segment_begin_and_end_with_it_and_never_go_back(
    beam_size: int | None, english: Transcriber
) -> None:
    transcript = heard(english, "en_jfk.flac", word_timestamps=True, beam_size=beam_size)
    assert transcript.duration_s == pytest.approx(11.0, abs=0.01)
    for segment in transcript.segments:
        assert "".join(word.text for word in segment.words) == segment.text
        assert (segment.words[0].start_s, segment.words[-1].end_s) == (segment.start_s, segment.end_s)
    found = all_words(transcript)
    assert all(a.start_s <= a.end_s <= b.start_s for a, b in pairwise(found))
    assert all(0 < word.probability <= 1 for word in found)
    (americans,) = [word for word in found if "american" in word.text.lower()]
    assert 1.5 < americans.start_s < 2.1
    assert 1.8 < americans.end_s < 2.6


# --- faster-whisper -----------------------------------------------------------------------------


def test_ten_seconds_of_zeros_are_no_text_with_and_without_voice_activity(english: Transcriber) -> None:
    clip = AudioClip(samples=np.zeros(160_000, np.float32))
    for vad_filter in (True, False):
        transcript = english.transcribe(clip, TranscribeOptions(vad_filter=vad_filter))
        assert (transcript.text, transcript.segments) == ("", ())
        assert transcript.skipped


def test_channels_are_heard_apart(english: Transcriber) -> None:
    left = heard(english, "en_fw_stereo_diarization.wav", channel=0).text
    right = heard(english, "en_fw_stereo_diarization.wav", channel=1).text
    assert words(left)[:6] == words("He began a confused complaint against")
    assert words(right) == words("The horizon seems extremely distant.")


def test_a_prefix_is_how_the_text_begins(english: Transcriber) -> None:
    transcript = heard(english, "en_jfk.flac", prefix="And so my fellow Americans")
    assert transcript.text.startswith("And so my fellow Americans ask not")
    assert words(transcript.text) == words(heard(english, "en_jfk.flac").text)
    assert 0 <= transcript.segments[0].start_s < 0.5
    assert 10 < transcript.segments[-1].end_s <= 11


def test_only_what_lies_in_the_clips_is_heard(english: Transcriber) -> None:
    transcript = heard(english, "en_jfk.flac", clip_timestamps=(0.0, 4.0))
    assert "country" not in words(transcript.text)
    assert words(transcript.text)[:4] == ["and", "so", "my", "fellow"]
    later = heard(english, "en_jfk.flac", clip_timestamps=(7.5,))
    assert later.segments[0].start_s >= 7.5
    assert "country" in words(later.text)


# --- openai-whisper -----------------------------------------------------------------------------


def test_a_prompt_shapes_the_style_of_what_follows(english: Transcriber) -> None:
    loud = heard(english, "en_jfk.flac", initial_prompt="THE SPEECH IN CAPITAL LETTERS. HE SAYS:").text
    assert words(loud)[-4:] == ["do", "for", "your", "country"]
    assert loud.isupper() or loud != heard(english, "en_jfk.flac").text


# --- base, which is slower ---------------------------------------------------------------------------


@pytest.mark.slow
def test_a_file_in_two_languages_is_heard_in_both_where_each_window_is_detected(multilingual: Transcriber) -> None:
    transcript = heard(multilingual, "multi_en-de_mit_licence.mp3", multilingual=True, beam_size=5)
    languages = [segment.language for segment in transcript.segments]
    assert {"en", "de"} <= set(languages)
    assert languages.index("en") < languages.index("de")
    assert "permission is hereby granted" in " ".join(words(transcript.text))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "language"),
    [
        ("ja_fleurs_1837.wav", "ja"),
        ("de_fleurs-de-000.ogg", "de"),
        ("fr_fleurs-fr-000.ogg", "fr"),
        ("en_jfk.flac", "en"),
    ],
)
def test_the_language_of_a_recording_is_told_with_its_probability(
    file: str, language: str, multilingual: Transcriber
) -> None:
    transcript = heard(multilingual, file)
    assert transcript.language == language
    assert transcript.language_probability is not None
    assert transcript.language_probability > 0.5


@pytest.mark.slow
def test_among_allowed_languages_one_is_chosen(multilingual: Transcriber) -> None:
    assert heard(multilingual, "de_fleurs-de-000.ogg", languages=("nl", "en", "ja")).language in ("nl", "en", "ja")


@pytest.mark.slow
def test_german_becomes_english(multilingual: Transcriber) -> None:
    text = heard(multilingual, "de_fleurs-de-000.ogg", task="translate", beam_size=5).text
    assert {"the", "of", "and", "a", "in", "is", "to"} & set(words(text))
    assert not {"der", "die", "und", "das", "ist"} & set(words(text))


@pytest.mark.slow
def test_chinese_is_written_in_the_script_that_is_asked_for(multilingual: Transcriber) -> None:
    simplified = heard(multilingual, "zh_fleurs_1883.wav", chinese_script="simplified").text
    traditional = heard(multilingual, "zh_fleurs_1883.wav", chinese_script="traditional").text
    assert simplified != traditional
    assert "桥" in simplified or "该" in simplified
    assert "橋" in traditional or "該" in traditional


@pytest.mark.slow
def test_batched_and_sequential_hear_the_same_sonnet(multilingual: Transcriber) -> None:
    one = heard(multilingual, "en_sonnet1.mp3", long_form="sequential", beam_size=5)
    other = heard(multilingual, "en_sonnet1.mp3", long_form="batched", beam_size=5)
    same = set(words(one.text)) & set(words(other.text))
    assert len(same) > 0.85 * len(set(words(one.text)))
    starts = [segment.start_s for segment in other.segments]
    assert starts == sorted(starts)
