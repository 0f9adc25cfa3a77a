"""Shares of the peaks, and the best of several runs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from benchmarks.profiling.roofline import MachinePeaks, compute_shares, measure_best_s, measure_stream_bytes
from benchmarks.profiling.roofline import format_table as roofline_table
from neuron_whisper.artifact.loader import Artifact
from tests.support.tiny_program import spec


def test_shares_are_of_the_computed_work_and_the_measured_peaks() -> None:
    tiny = spec(slots=8, beams=1)
    base = SimpleNamespace(
        spec=tiny,
        profile=SimpleNamespace(
            target=SimpleNamespace(dtype="float32"),
            weights=SimpleNamespace(dtype="float32"),
        ),
    )
    peaks = MachinePeaks(flops={"f32": 1e9, "bf16": 4e9}, bytes_per_s=1e9)
    rows = compute_shares(
        cast(Artifact, base), {"encode 1": [1.0], "decode 1": [9.0, 1.0, 1.0], "decode 8": [1.0]}, peaks
    )
    encode, one, eight = rows
    assert encode["flops_share"] == pytest.approx(encode["gflop"], rel=0.05, abs=1e-3)
    assert one["ms"] == 1000.0
    assert eight["mb"] > one["mb"]
    assert eight["flops_share"] == pytest.approx(8 * one["flops_share"], rel=0.05, abs=2e-4)
    base.profile.target.dtype = "bfloat16"  # four times the peak, half the bytes of caches
    assert (
        compute_shares(cast(Artifact, base), {"encode 1": [1.0]}, peaks)[0]["flops_share"] < encode["flops_share"] / 3
    )
    text = roofline_table(rows, peaks)
    assert "f32 1 GFLOP/s, bf16 4 GFLOP/s; memory: 1.0 GB/s read" in text


def test_the_best_of_several_runs_counts() -> None:
    assert 0 <= measure_best_s(lambda: None, 0.0) < 0.1
    assert measure_stream_bytes(1, 0.0, size=4096) > 0
