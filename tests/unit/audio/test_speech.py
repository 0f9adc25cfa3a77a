"""Voice activity: Silero's probabilities, the spans made of them, and the windows that hold the spans."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from neuron_whisper.audio.clip import AudioClip
from neuron_whisper.audio.load import load_audio
from neuron_whisper.audio.speech import (
    BATCHED_VAD,
    SILERO_VAD,
    SpeechSpan,
    detect_speech_spans,
    merge_into_windows,
    spans_from_probabilities,
    speech_probabilities,
)
from neuron_whisper.audio.vad_options import VadOptions
from neuron_whisper.errors import InvalidOption
from tests.support.paths import SPEECH
from tests.support.signals import RATE, noise, time_s
from tests.support.speech import needs_recordings

CHUNK = 512
ANY_LENGTH = VadOptions(min_speech_duration_ms=0)
UNPADDED = replace(ANY_LENGTH, speech_pad_ms=0)


def detect_in_picture(picture: str, options: VadOptions) -> list[tuple[int, int]]:
    """Spans in chunks of 32 ms: '#' is speech, '-' neither speech nor silence, '.' silence."""
    probabilities = np.array([{"#": 0.9, "-": 0.4, ".": 0.1}[sign] for sign in picture], np.float32)
    spans = spans_from_probabilities(probabilities, CHUNK * len(picture), options)
    return [(span.start_sample // CHUNK, span.end_sample // CHUNK) for span in spans]


# --- sounds that are no speech, and speech --------------------------------------------------------


def pink(seconds: float) -> NDArray[np.float32]:
    x = noise(seconds)
    frequency = np.maximum(np.fft.rfftfreq(len(x), 1 / RATE), 1.0)
    shaped = np.fft.irfft(np.fft.rfft(x) / np.sqrt(frequency), len(x))
    return np.asarray(0.1 * shaped / shaped.std(), np.float32)


def chords(seconds: int, decay: float) -> NDArray[np.float32]:
    """Major chords in just intonation with six harmonics, one a second, dying away by exp(-decay t)."""
    t = time_s(1)
    played = []
    for beat in range(seconds):
        notes = [(220.0, 330.0, 246.94, 293.66)[beat % 4] * ratio for ratio in (1, 1.26, 1.5)]
        tones = [np.sin(2 * np.pi * note * k * t) / k for note in notes for k in range(1, 7)]
        played.append(np.sum(tones, axis=0) * np.exp(-decay * t))
    music = np.concatenate(played)
    return np.asarray(0.3 * music / np.abs(music).max(), np.float32)


def breaths(seconds: float) -> NDArray[np.float32]:
    """Noise between 300 Hz and 3 kHz, swelling 24 times a minute."""
    band = butter(2, [300, 3000], "bandpass", fs=RATE, output="sos")
    swell = np.maximum(0, np.sin(2 * np.pi * 0.4 * time_s(seconds))) ** 2
    return np.asarray(swell * sosfilt(band, noise(seconds)), np.float32)


SOUNDS: dict[str, Callable[[], NDArray[np.float32]]] = {
    "silence": lambda: np.zeros(60 * RATE, np.float32),
    "quiet white noise": lambda: noise(60, 0.001),
    "white noise": lambda: noise(60),
    "pink noise": lambda: pink(60),
    "a tone": lambda: (0.5 * np.sin(2 * np.pi * 440 * time_s(60))).astype(np.float32),
    "plucked chords": lambda: chords(60, decay=3.0),
    "breaths": lambda: breaths(60),
}


@pytest.mark.parametrize("sound", SOUNDS)
def test_a_minute_without_speech_has_no_span(sound: str) -> None:
    samples = SOUNDS[sound]()
    probabilities = speech_probabilities(samples)
    assert probabilities.max() < 0.25
    assert spans_from_probabilities(probabilities, len(samples)) == []


def test_chords_held_like_an_organs_are_taken_for_speech_once_and_only_for_a_moment() -> None:
    organ = chords(60, decay=0.0)
    probabilities = speech_probabilities(organ)
    (moment,) = spans_from_probabilities(probabilities, len(organ), UNPADDED)
    assert moment.duration_s < 0.1
    assert spans_from_probabilities(probabilities, len(organ), VadOptions(min_speech_duration_ms=250)) == []


@needs_recordings
@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        # faster-whisper 1.2.1 says (15616, 212224): its weights are another version of Silero 6
        ("ja_fleurs_1837.wav", VadOptions(), [(15616, 212736)]),
        ("ja_fleurs_1837.wav", BATCHED_VAD, [(15616, 80128), (80128, 138496), (138496, 212736)]),
        # silero-vad 6.2.3, its own defaults
        ("ja_fleurs_1837.wav", SILERO_VAD, [(21536, 77792), (82464, 136672), (140320, 206816)]),
        ("en_jfk.flac", SILERO_VAD, [(5152, 36320), (52256, 71136), (86048, 122848), (130592, 169952)]),
        ("en_fw_stereo_diarization.wav", SILERO_VAD, [(4128, 76256)]),
    ],
)
def test_the_spans_of_known_recordings(name: str, options: VadOptions, expected: list[tuple[int, int]]) -> None:
    spans = detect_speech_spans(load_audio(SPEECH / name), options)
    assert len(spans) == len(expected)
    for span, (start, end) in zip(spans, expected, strict=True):
        assert abs(span.start_sample - start) <= CHUNK
        assert abs(span.end_sample - end) <= CHUNK


@needs_recordings
def test_silence_around_a_recording_moves_its_spans_and_adds_none() -> None:
    clip = load_audio(SPEECH / "ja_fleurs_1837.wav")
    around = np.pad(clip.samples, (20 * RATE, 30 * RATE))
    (there,) = detect_speech_spans(around)
    (alone,) = detect_speech_spans(clip)
    assert there.start_s == pytest.approx(alone.start_s + 20, abs=0.064)
    assert there.end_s == pytest.approx(alone.end_s + 20, abs=0.064)


# --- spans from probabilities ---------------------------------------------------------------------


def test_a_clip_without_samples_has_no_span() -> None:
    assert speech_probabilities(np.zeros(0, np.float32)).shape == (0,)
    assert detect_speech_spans(AudioClip(samples=np.zeros(0, np.float32))) == []


@pytest.mark.parametrize("samples", [1, 100, 511])
def test_a_clip_shorter_than_a_chunk_has_one_probability(samples: int) -> None:
    assert speech_probabilities(noise(1)[:samples]).shape == (1,)
    span = SpeechSpan(start_sample=0, end_sample=samples)
    assert spans_from_probabilities(np.array([0.9], np.float32), samples, ANY_LENGTH) == [span]


@pytest.mark.parametrize(
    ("picture", "silence_ms", "spans"),
    [
        ("..###...", 32, [(2, 5)]),
        ("###", 32, [(0, 3)]),
        ("...", 32, []),
        ("---", 32, []),  # speech has to begin with a probability of 0.5
        ("-##-...", 32, [(1, 4)]),  # and lasts until one below 0.35
        ("##..##....", 96, [(0, 6)]),
        ("##...##...", 96, [(0, 10)]),  # a fourth chunk of silence would close it
        ("##....##....", 96, [(0, 2), (6, 8)]),
        ("##.---.##", 96, [(0, 2), (7, 9)]),  # what is neither does not end a silence
        ("##.", 2000, [(0, 3)]),  # the end of the clip ends speech
    ],
)
def test_speech_ends_where_a_silence_lasts(picture: str, silence_ms: int, spans: list[tuple[int, int]]) -> None:
    assert detect_in_picture(picture, replace(UNPADDED, min_silence_duration_ms=silence_ms)) == spans


def test_speech_that_is_not_longer_than_the_minimum_is_dropped() -> None:
    options = VadOptions(speech_pad_ms=0, min_silence_duration_ms=32, min_speech_duration_ms=96)
    assert detect_in_picture("###...####...###", options) == [(6, 10)]


@pytest.mark.parametrize(
    ("picture", "spans"),
    [
        ("....##.........##...", [(2, 8), (13, 19)]),
        (".##......#....", [(0, 5), (7, 12)]),
        ("##..##..", [(0, 3), (3, 8)]),  # half the gap each
    ],
)
def test_spans_are_widened_by_the_padding_or_half_the_gap(picture: str, spans: list[tuple[int, int]]) -> None:
    assert detect_in_picture(picture, replace(ANY_LENGTH, speech_pad_ms=64, min_silence_duration_ms=32)) == spans


@pytest.mark.parametrize(
    ("picture", "spans"),
    [
        ("##########", [(0, 10)]),
        ("#" * 25, [(0, 11), (11, 22), (22, 25)]),  # no pause: in the middle of speech
        ("#.....#....#####", [(0, 1), (6, 16)]),
        ("#....#.....#####", [(0, 6), (11, 16)]),
        ("#.....#....########", [(0, 1), (6, 7), (11, 19)]),  # the pause behind the first cut is not forgotten
        ("####...########", [(0, 11), (11, 15)]),  # 96 ms are no pause
        ("##########----####", [(0, 11), (11, 18)]),  # what is neither goes on being speech
        ("########......", [(0, 8)]),  # the silence that goes on
        ("########......#", [(0, 8), (14, 15)]),
    ],
)
def test_a_span_that_grows_too_long_is_cut_in_its_longest_pause(picture: str, spans: list[tuple[int, int]]) -> None:
    options = replace(UNPADDED, max_speech_duration_s=11 * CHUNK / RATE)
    assert detect_in_picture(picture, options) == spans


def test_a_pause_of_an_earlier_span_is_no_place_to_cut_a_later_one() -> None:
    options = replace(UNPADDED, min_silence_duration_ms=192, max_speech_duration_s=15 * CHUNK / RATE)
    assert detect_in_picture("#....#......." + "#" * 17, options) == [(0, 6), (13, 28), (28, 30)]


runs = st.lists(
    st.tuples(st.sampled_from([0.0, 0.05, 0.2, 0.36, 0.49, 0.5, 0.75, 1.0]), st.integers(1, 40)), max_size=40
)
milliseconds = st.sampled_from([0, 30, 96, 100, 160, 250, 400, 2000])
vad_options = st.builds(
    VadOptions,
    threshold=st.sampled_from([0.125, 0.5, 0.75]),
    min_speech_duration_ms=milliseconds,
    max_speech_duration_s=st.sampled_from([5.0, 7.3, 30.0, float("inf")]),
    min_silence_duration_ms=milliseconds,
    speech_pad_ms=milliseconds,
    min_silence_at_max_speech=milliseconds,
)


def expand_runs(pieces: list[tuple[float, int]]) -> NDArray[np.float32]:
    return np.array([probability for probability, chunks in pieces for _ in range(chunks)], np.float32)


@given(runs, vad_options, st.integers(0, CHUNK - 1))
@settings(deadline=None)
def test_spans_are_ordered_disjoint_inside_the_clip_and_no_longer_than_allowed(
    pieces: list[tuple[float, int]], options: VadOptions, missing: int
) -> None:
    probabilities = expand_runs(pieces)
    samples = max(0, len(probabilities) * CHUNK - missing)
    spans = spans_from_probabilities(probabilities, samples, options)
    for span in spans:
        assert 0 <= span.start_sample < span.end_sample <= samples
        assert span.duration_s <= options.max_speech_duration_s
    for one, next_one in pairwise(spans):
        assert one.end_sample <= next_one.start_sample


@given(runs, vad_options)
@settings(deadline=None)
def test_every_chunk_of_speech_is_in_a_span_unless_it_is_too_short(
    pieces: list[tuple[float, int]], options: VadOptions
) -> None:
    probabilities = expand_runs(pieces)
    spans = spans_from_probabilities(probabilities, len(probabilities) * CHUNK, options)
    covered = np.zeros(len(probabilities) * CHUNK, bool)
    for span in spans:
        covered[span.start_sample : span.end_sample] = True
    speech = np.repeat(probabilities >= options.threshold, CHUNK)
    lost = np.diff(np.flatnonzero(np.diff(np.pad(speech & ~covered, 1).astype(int))))[::2]
    assert (lost <= options.min_speech_duration_ms * RATE / 1000).all()


@given(runs, vad_options)
@settings(deadline=None)
def test_padding_widens_spans_and_makes_none(pieces: list[tuple[float, int]], options: VadOptions) -> None:
    probabilities = expand_runs(pieces)
    samples = len(probabilities) * CHUNK
    unlimited = {name: getattr(options, name) for name in ("threshold", "min_speech_duration_ms")}
    silence_ms = options.min_silence_duration_ms
    bare = VadOptions(speech_pad_ms=0, min_silence_duration_ms=silence_ms, **unlimited)
    wide = VadOptions(speech_pad_ms=options.speech_pad_ms, min_silence_duration_ms=silence_ms, **unlimited)
    inner, outer = (spans_from_probabilities(probabilities, samples, each) for each in (bare, wide))
    assert len(inner) == len(outer)
    for a, b in zip(inner, outer, strict=True):
        assert 0 <= a.start_sample - b.start_sample <= 16 * options.speech_pad_ms
        assert 0 <= b.end_sample - a.end_sample <= 16 * options.speech_pad_ms


# --- windows --------------------------------------------------------------------------------------


def timed(*times: tuple[float, float]) -> list[SpeechSpan]:
    return [SpeechSpan(start_sample=round(a * RATE), end_sample=round(b * RATE)) for a, b in times]


@pytest.mark.parametrize(
    ("spans", "windows"),
    [
        ([], []),
        ([(1.5, 2)], [(1.5, 2)]),
        ([(0, 9), (10, 19), (26, 29)], [(0, 19), (26, 29)]),  # a gap of 7 s
        ([(0, 9), (12, 30)], [(0, 30)]),
        ([(0.1, 0.2), (0.4, 30.1)], [(0.1, 30.1)]),
        ([(0, 9), (12, 30.001)], [(0, 9), (12, 30.001)]),
        ([(0, 30), (30, 60)], [(0, 30), (30, 60)]),
        ([(0, 20), (21, 29), (31, 40)], [(0, 29), (31, 40)]),
    ],
)
def test_consecutive_spans_share_a_window(spans: list[tuple[float, float]], windows: list[tuple[float, float]]) -> None:
    packed = merge_into_windows(timed(*spans))
    assert [(window.start_s, window.end_s) for window in packed] == windows
    assert [window.duration_s for window in packed] == pytest.approx([end - start for start, end in windows])


def test_a_span_longer_than_a_window_is_refused() -> None:
    with pytest.raises(InvalidOption, match=r"the span at 2\.00 s is 30\.50 s long; see max_speech_duration_s"):
        merge_into_windows(timed((2, 32.5)))


@given(runs, vad_options, st.sampled_from([10.0, 30.0]), st.sampled_from([0.0, 0.5, 3.0, 60.0]))
@settings(deadline=None)
def test_windows_hold_each_span_whole_and_once(
    pieces: list[tuple[float, int]], options: VadOptions, window_s: float, max_gap_s: float
) -> None:
    probabilities = expand_runs(pieces)
    spans = spans_from_probabilities(probabilities, len(probabilities) * CHUNK, options.with_max_duration(window_s))
    windows = merge_into_windows(spans, window_s, max_gap_s=max_gap_s)
    assert [span for window in windows for span in window.spans] == spans
    for window in windows:
        assert (window.start_sample, window.end_sample) == (
            window.spans[0].start_sample,
            window.spans[-1].end_sample,
        )
        assert window.duration_s <= window_s
        assert all(b.start_s - a.end_s <= max_gap_s for a, b in pairwise(window.spans))
    for one, next_one in pairwise(windows):
        assert one.end_sample <= next_one.start_sample
        is_full = next_one.spans[0].end_sample - one.start_sample > window_s * RATE
        assert is_full or next_one.start_s - one.end_s > max_gap_s
