"""Prepares the speech of the rows: short clips, a long file, an hour of clips with non-speech between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.checks.timeline import build_timeline
from neuron_whisper.audio.clip import SAMPLE_RATE
from neuron_whisper.audio.load import load_audio
from neuron_whisper.bench.accuracy.manifest import ReferenceUtterance
from neuron_whisper.errors import InvalidOption

SHORT_S = 30.0  # a window
GAP_S = (0.3, 4.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """`samples` is a file of raw float32, 16 kHz; `file` the original, None for what was made here."""

    name: str
    language: str
    reference: str
    samples: Path
    duration_s: float
    file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """`hour` is empty where no row needs it."""

    short: tuple[Recording, ...]
    long: tuple[Recording, ...]
    hour: tuple[Recording, ...] = ()

    def select(self, kind: str) -> tuple[Recording, ...]:
        recordings: tuple[Recording, ...] = getattr(self, kind)
        return recordings


def prepare_speech(
    utterances: Sequence[ReferenceUtterance], scratch: Path, *, short: int, long_s: float, hour_s: float, seed: int
) -> Speech:
    """Decoded below `scratch`: the first `short` clips that fit a window, the longest file of at most `long_s`
    seconds, and `hour_s` seconds made of all short clips (0: none).

    Raises InvalidOption where there is no short clip or no longer one, InputError for what cannot be read.
    """
    clips = [_decode(it, scratch / f"{n}.f32") for n, it in enumerate(utterances)]
    short_ones = [clip for clip in clips if clip.duration_s <= SHORT_S]
    long_ones = [clip for clip in clips if SHORT_S < clip.duration_s <= long_s]
    if not short_ones or not long_ones:
        raise InvalidOption("SPEECH", len(clips), f"clips of at most {SHORT_S:.0f} s and one of at most {long_s:.0f} s")
    hour: tuple[Recording, ...] = ()
    if hour_s:
        pieces = [(np.fromfile(clip.samples, np.float32), clip.reference) for clip in short_ones]
        laid = build_timeline(pieces, seconds=hour_s, gap_s=GAP_S, seed=seed)
        path = scratch / "hour.f32"
        laid.samples.tofile(path)
        hour = (
            Recording(
                name=f"{hour_s:.0f} s of clips, seed {seed}",
                language=short_ones[0].language,
                reference=laid.reference,
                samples=path,
                duration_s=len(laid.samples) / SAMPLE_RATE,
            ),
        )
    longest = max(long_ones, key=lambda clip: clip.duration_s)
    return Speech(short=tuple(short_ones[:short]), long=(longest,), hour=hour)


def _decode(utterance: ReferenceUtterance, path: Path) -> Recording:
    clip = load_audio(utterance.path, channel=utterance.channel)
    clip.samples.tofile(path)
    return Recording(
        name=utterance.name,
        language=utterance.language,
        reference=utterance.text,
        samples=path,
        duration_s=clip.duration_s,
        file=utterance.path,
    )
