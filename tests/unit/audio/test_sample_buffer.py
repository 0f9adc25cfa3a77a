"""Samples of long audio: in a file, or in memory where that cannot be; the same samples."""

from __future__ import annotations

import logging
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from neuron_whisper.audio.mel import LogMel
from neuron_whisper.audio.sample_buffer import SpillableBuffer, release_pages
from neuron_whisper.audio.silero.network import speech_probabilities

RATE = 16_000


def build_signal(pieces: list[int], max_memory_s: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(what was appended, what came of it)"""
    random = np.random.default_rng(len(pieces))
    values = [random.standard_normal(n).astype(np.float32) for n in pieces]
    growing = SpillableBuffer(max_memory_s)
    for value in values:
        growing.append(value)
    return np.concatenate([np.zeros(0, np.float32), *values]), growing.finish()


@given(pieces=st.lists(st.integers(0, 3000), max_size=12), held_samples=st.integers(0, 9000))
def test_nothing_is_lost_or_swapped_wherever_it_lies(pieces: list[int], held_samples: int) -> None:
    appended, whole = build_signal(pieces, held_samples / RATE)
    np.testing.assert_array_equal(whole, appended)
    assert isinstance(whole, np.memmap) == (sum(pieces) > held_samples)


@pytest.mark.parametrize("max_memory_s", [1, 100])
def test_samples_are_scaled_wherever_they_lie(max_memory_s: float) -> None:
    growing = SpillableBuffer(max_memory_s)
    pieces = [np.random.default_rng(n).standard_normal(RATE).astype(np.float32) for n in range(70)]
    for piece in pieces:
        growing.append(piece)
    whole = growing.finish(2.0**-15)
    assert isinstance(whole, np.memmap) == (max_memory_s < 70)
    np.testing.assert_array_equal(whole, np.concatenate(pieces) * np.float32(2.0**-15))


def test_the_file_has_no_name_and_what_is_forgotten_can_be_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    appended, whole = build_signal([RATE] * 5, max_memory_s=1)
    assert not list(tmp_path.iterdir())
    release_pages(whole, 3 * RATE)
    release_pages(whole, 100 * RATE)
    np.testing.assert_array_equal(whole, appended)


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may grow beyond 100 kB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_the_samples_in_memory_and_is_logged(
    small_disk: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "neuron_whisper"):
        appended, whole = build_signal([RATE // 2] * 8, max_memory_s=1)
    np.testing.assert_array_equal(whole, appended)
    assert not isinstance(whole, np.memmap)
    assert "long audio is kept in memory: File too large" in caplog.text


def test_mel_and_voice_activity_of_a_file_are_those_of_memory() -> None:
    appended, mapped = build_signal([RATE] * 70, max_memory_s=1)
    one, other = LogMel.from_samples(appended, 80), LogMel.from_samples(mapped, 80)
    assert one.max_log10 == other.max_log10
    np.testing.assert_array_equal(one.cut_window(3500), other.cut_window(3500))
    np.testing.assert_array_equal(speech_probabilities(appended), speech_probabilities(mapped))
