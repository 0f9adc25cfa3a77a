"""Every input of ../shared/faults gives the right text, at the right times, with the right warnings.

One row for each input. Inputs of the same kinds that are generated are in the tests of the modules that handle them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from neuron_whisper.audio.clip import AudioClip
from neuron_whisper.audio.load import load_audio
from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.server import ServerSettings
from neuron_whisper.server.config.loader import load_settings
from neuron_whisper.transcriber import Transcriber
from neuron_whisper.transcript import Transcript
from tests.support.paths import FAULTS, SPEECH
from tests.support.speech import open_model, words

JFK = "and so my fellow americans ask not what your country can do for you"


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultInput:
    """A file and what is right for it.

    `load` and `options`: arguments of load_audio and TranscribeOptions. `texts` are heard in this order.
    `starts_s`: (text, second at which its first word, or without word times its segment, begins).
    `warnings`: a part of each warning, in their order. `skipped`: the reasons of regions without text, where they are
    to be told. `languages` of the segments, in the order in which they are first heard.
    """

    file: str
    texts: tuple[str, ...]
    model: str = "tiny.en"
    load: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    starts_s: tuple[tuple[str, float], ...] = ()
    within_s: float = 0.5
    warnings: tuple[str, ...] = ()
    skipped: tuple[str, ...] | None = None
    languages: tuple[str, ...] | None = None


INPUTS = (
    FaultInput(file="delay5.mkv", texts=(JFK,), starts_s=(("and so", 5.3),)),
    FaultInput(
        file="paused.webm",
        texts=("my fellow americans", "country can do for you ask what you can do for your country"),
        options={"word_timestamps": True},
        starts_s=(("my fellow", 1.0), ("country can do", 26.0), ("ask what", 28.1)),
        warnings=("20.00 s are missing in the middle, in 1 gap: ",),
    ),
    FaultInput(
        file="two_wavs_joined.wav",
        model="base",
        texts=("has never been surpassed", "ask not what your country can do for you"),
        starts_s=(("has never", 0.0), ("and so", 2.0)),
        warnings=("2 recordings, one behind the other",),
    ),
    FaultInput(
        file="chained.ogg",
        texts=("my fellow americans", "has never been surpassed"),
        starts_s=(("and so", 0.3), ("has never", 5.0)),
        warnings=("2 recordings, one behind the other",),
    ),
    *(
        FaultInput(
            file=file,
            model="base",
            texts=(JFK, "ask what you can do for your country"),
            starts_s=(("and so", 0.3),),
        )
        for file in ("a.avi", "a.ts", "a.amr")
    ),
    FaultInput(
        file="two_tracks_de_en.mkv",
        load={"language": "en"},
        texts=(JFK, "ask what you can do for your country"),
        starts_s=(("and so", 0.3),),
        warnings=("0 (ger), 1 (eng); track 1 was taken",),
    ),
    FaultInput(
        file="antiphase.flac",
        texts=(JFK,),
        starts_s=(("and so", 0.3),),
        warnings=("the channels cancel each other for 11.0 s",),
    ),
    FaultInput(
        file="float_32768.wav",
        texts=("fellow americans",),
        starts_s=(("and so", 0.3),),
        warnings=("floats of 16-bit size",),
    ),
    FaultInput(
        file="quiet_50.flac",  # so few bits are left of it that tiny.en hears "america asked", without the detector too
        texts=("and so my fellow america", "not what your country can do for you", "what you can do for your country"),
        starts_s=(("and so", 0.3),),
    ),
    *(
        FaultInput(
            file="lj_jfk.wav",
            texts=("has never been surpassed", JFK, "ask what you can do for your country"),
            options=options,
            starts_s=(("and so", 2.0),),
            skipped=(),
        )
        for options in ({"long_form": "sequential"}, {"long_form": "batched"}, {"word_timestamps": True})
    ),
    FaultInput(
        file="lj_jfk.wav",
        texts=("has never been surpassed",),
        options={"vad_filter": False},  # openai-whisper's text
        starts_s=(("has never", 0.0),),
        skipped=("no_text",),
        warnings=("speech gave no text at 2.0-12.8 s",),
    ),
    *(
        FaultInput(
            file="en_then_de.ogg",
            model="base",
            texts=("permission is hereby granted", "conditions", "wird", "dies umfasst insbesondere das recht"),
            options={"multilingual": True, "long_form": long_form},
            starts_s=(("permission is", 0.1), ("dies umfasst", 42.2)),
            skipped=(),
            languages=("en", "de"),
        )
        for long_form in ("sequential", "batched")
    ),
    FaultInput(
        file="fast_speech.ogg",
        model="base",
        texts=("has never been surpassed", "and in the same", "and it was"),
        options={"without_timestamps": True},
        starts_s=(("the only sense", 0.0),),
    ),
    FaultInput(file="short_3200.wav", texts=("and",), options={"vad_filter": False}, starts_s=(("and", 0.0),)),
    *(
        FaultInput(  # speech that is too short to count
            file="short_3200.wav",
            texts=(),
            options={"long_form": long_form},
            skipped=("vad",),
            languages=(),
            warnings=("no speech was found",),
        )
        for long_form in ("sequential", "batched")
    ),
)


@pytest.fixture(scope="module")
def open_transcriber() -> Iterator[Callable[[str], Transcriber]]:
    """Opens a model once; skips where it was not fetched."""
    with ExitStack() as stack:
        yield cache(lambda model: stack.enter_context(open_model(model)))


@pytest.mark.parametrize("row", INPUTS, ids=lambda row: row.file)
def test_an_input_that_failed_gives_what_is_right(
    row: FaultInput, open_transcriber: Callable[[str], Transcriber]
) -> None:
    if not (FAULTS / row.file).is_file():
        pytest.skip(f"no {row.file} here: not proved that such a file gives its text at its times")
    transcript = open_transcriber(row.model).transcribe(
        load_audio(FAULTS / row.file, **row.load), TranscribeOptions(**row.options)
    )
    heard = " ".join(words(transcript.text))
    at = 0
    for text in row.texts:
        assert text in heard[at:]
        at = heard.index(text, at) + len(text)
    for text, start_s in row.starts_s:
        assert find_start_s(transcript, text) == pytest.approx(start_s, abs=row.within_s)
    if row.skipped is not None:
        assert [region.reason for region in transcript.skipped] == list(row.skipped)
    if row.languages is not None:
        assert tuple(dict.fromkeys(segment.language for segment in transcript.segments)) == row.languages
    times = [second for segment in transcript.segments for second in (segment.start_s, segment.end_s)]
    assert [0, *times, transcript.duration_s] == sorted([0, *times, transcript.duration_s])
    assert len(transcript.warnings) == len(row.warnings), transcript.warnings
    for warning, part in zip(transcript.warnings, row.warnings, strict=True):
        assert part in warning


def find_start_s(transcript: Transcript, text: str) -> float:
    """The second at which `text` begins: of its first word where there are words, else of its segment."""
    spoken = [(word.start_s, each) for s in transcript.segments for word in s.words for each in words(word.text)]
    spoken = spoken or [(segment.start_s, each) for segment in transcript.segments for each in words(segment.text)]
    sought = words(text)
    return next(spoken[n][0] for n in range(len(spoken)) if [each for _, each in spoken[n : n + len(sought)]] == sought)


@pytest.mark.parametrize("options", [{}, {"carry_initial_prompt": True}, {"hotwords": "Nakamura"}], ids=str)
def test_a_prompt_that_is_too_long_is_used_in_part_and_what_is_left_out_is_named(
    options: dict[str, Any], open_transcriber: Callable[[str], Transcriber]
) -> None:
    glossary = FAULTS / "glossary.txt"
    if not glossary.is_file():
        pytest.skip("no glossary.txt here: not proved for a real vocabulary that a prompt too long is warned of")
    transcript = open_transcriber("tiny.en").transcribe(
        load_audio(FAULTS / "short_3200.wav"),
        TranscribeOptions(initial_prompt=glossary.read_text(encoding="utf-8"), **options),
    )
    warning = transcript.warnings[0]
    assert "'Zyntharyx, Term0ova" in warning
    assert transcript.prompt_tokens == 223


# --- speech without text --------------------------------------------------------------------------


def join(*pieces: tuple[str, float]) -> AudioClip:
    """Recordings one behind the other, each at a level in dB; skips where they are absent."""
    if not SPEECH.is_dir():
        pytest.skip("no recordings beside the repository: not proved for real speech that none is lost")
    samples = [load_audio(SPEECH / file).samples * np.float32(10 ** (level / 20)) for file, level in pieces]
    return AudioClip(samples=np.concatenate(samples))


def assert_heard(transcript: Transcript, *texts: str) -> None:
    heard, at = " ".join(words(transcript.text)), 0
    for text in texts:
        assert text in heard[at:]
        at = heard.index(text, at) + len(text)
    assert transcript.skipped == ()
    assert max(segment.end_s - segment.start_s for segment in transcript.segments) < 10.0


both_plans = pytest.mark.parametrize("plan", ["sequential", "batched"])
COUNTRY = "what your country can do for you ask what you can do for your country"


@both_plans
def test_three_recordings_of_which_the_first_ones_text_was_stretched_over_all_give_their_texts(
    plan: str, open_transcriber: Callable[[str], Transcriber]
) -> None:
    clip = join(("en_LJ001-0013.mp3", 0), ("en_jfk.flac", 0), ("en_LJ001-0004.mp3", 0))
    transcript = open_transcriber("tiny.en").transcribe(clip, TranscribeOptions(long_form=plan))
    assert_heard(transcript, "operations with ugly ones", "my fellow americans", COUNTRY, "produced the block books")
    assert transcript.warnings == ()


def test_a_prompt_does_not_swallow_the_text(open_transcriber: Callable[[str], Transcriber]) -> None:
    if not (FAULTS / "glossary.txt").is_file():
        pytest.skip("no glossary.txt here: not proved that a long prompt swallows no text")
    glossary = (FAULTS / "glossary.txt").read_text(encoding="utf-8")
    transcript = open_transcriber("tiny.en").transcribe(
        load_audio(FAULTS / "lj_jfk.wav"), TranscribeOptions(initial_prompt=glossary)
    )
    assert_heard(transcript, "has never been surpassed", "fellow americans", COUNTRY)  # as in float32
    assert len(transcript.warnings) == 1  # of the prompt


@pytest.mark.parametrize(("level", "plan"), [(-30, "sequential"), (-45, "sequential"), (-45, "batched")])
def test_a_far_speaker_between_near_ones_is_heard(
    level: float, plan: str, open_transcriber: Callable[[str], Transcriber]
) -> None:
    clip = join(("en_LJ001-0002.wav", 0), ("en_jfk.flac", level), ("en_LJ001-0011.wav", 0))
    transcript = open_transcriber("tiny.en").transcribe(clip, TranscribeOptions(long_form=plan))
    assert_heard(transcript, "comparatively", "fellow americans", COUNTRY, "of the first importance")
    assert transcript.warnings == ()


@pytest.mark.parametrize("options", [{}, {"word_timestamps": True}], ids=str)
def test_a_far_reader_between_near_ones_is_heard(
    options: dict[str, Any], open_transcriber: Callable[[str], Transcriber]
) -> None:
    clip = join(("en_LJ001-0009.flac", 0), ("en_LJ001-0006.flac", -45), ("en_arctic_aew_a0001.wav", 0))
    transcript = open_transcriber("tiny.en").transcribe(clip, TranscribeOptions(**options))
    heard = " ".join(words(transcript.text))
    assert "of movable types" in heard
    assert "example of fine typography" in heard
    assert "danger trail" in heard
    assert (transcript.skipped, transcript.warnings) == ((), ())


# --- files of settings ----------------------------------------------------------------------------


def test_settings_with_a_byte_order_mark_are_read() -> None:
    if not (FAULTS / "bom.toml").is_file():
        pytest.skip("no bom.toml here: not proved that a settings file of such an editor is read")
    loaded = load_settings(ServerSettings, flags={}, environment={}, file=FAULTS / "bom.toml")
    assert loaded.settings.port == 8140
