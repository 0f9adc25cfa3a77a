"""Recordings of every format are decoded to their stated length."""

from __future__ import annotations

import csv

import pytest

from neuron_whisper.audio.load import load_audio
from tests.support.paths import SPEECH


def test_every_recording_has_the_duration_in_its_manifest() -> None:
    if not SPEECH.is_dir():
        pytest.skip("no speech here: not proved that real files of every format decode to their length")
    with (SPEECH / "manifest.tsv").open(encoding="utf-8") as manifest:
        rows = list(csv.DictReader(manifest, delimiter="\t", quoting=csv.QUOTE_NONE))
    lengths = {row["file"]: float(row["duration_s"]) for row in rows}
    clips = {name: load_audio(SPEECH / name) for name in lengths}
    assert {name: clip.duration_s for name, clip in clips.items()} == pytest.approx(lengths, abs=0.02)
    damaged = {name: clip.warnings for name, clip in clips.items() if clip.warnings}
    assert damaged == {"fmt_sonnet1_head.flac": ("the end is damaged: 1 packet could not be decoded",)}
