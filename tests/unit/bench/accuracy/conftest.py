"""A report of two clips and four systems."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from neuron_whisper.bench.accuracy.manifest import ReferenceUtterance
from neuron_whisper.bench.accuracy.report import SkippedSystem, build_report
from neuron_whisper.bench.accuracy.run import DecodedClip
from neuron_whisper.bench.engines.results import GraphTotal
from tests.support.bench_reports import make_result


@pytest.fixture
def report() -> dict[str, Any]:
    """Two clips of 10 and 30 s; neuron-whisper, openai-whisper, a peer that failed and one that is not installed."""
    utterances = [
        ReferenceUtterance(path=Path("a|b.wav"), language="en", text="red green blue"),
        ReferenceUtterance(path=Path("c.wav"), language="ja", text="東京です。"),
    ]
    clips = [DecodedClip(utterance=it, samples=Path(), duration_s=10.0 + 20.0 * n) for n, it in enumerate(utterances)]
    results = [
        make_result(
            "neuron-whisper",
            ["red grin blue", "東京です"],
            [[1.0, 3.0], [2.0, 2.0], [1.5, 6.5]],
            throughput={8: [20.0, 30.0, 25.0]},
            graphs={
                "prefill": GraphTotal(name="prefill", calls=4, seconds=2.0, to_host_bytes=368),
                "decode": GraphTotal(name="decode", calls=8, seconds=2.0),
                "align": GraphTotal(name="align", calls=0, seconds=0.0),
            },
        ),
        replace(
            make_result(
                "openai-whisper", ["red green blue", "東京です"], [[4.0, 6.0]], is_serial=True, throughput={8: [4.0]}
            ),
            tokens=[[0], [9]],
        ),
        make_result("whisper.cpp", [], [], error="RuntimeError: no memory"),
    ]
    run_info = {
        "date": "2026-11-21T10:00:00+00:00",
        "command": "neuron-whisper bench x",
        "machine": {
            "processor": "A <fast> one",
            "architecture": "x86_64",
            "cores": 2,
            "memory_bytes": 8 << 30,
            "instruction_sets": ["avx512_bf16"],
            "system": "Linux 6",
            "load_before": 0.25,
        },
        "versions": {"neuron-whisper": "0.1.0"},
        "options": {"task": "transcribe", "beam_size": None, "temperature": [0.0, 0.2], "runs": 3, "threads": 2},
    }
    skipped = [SkippedSystem(name="faster-whisper tiny int8", reason="not installed here", install="pip install it")]
    return build_report(clips, results, skipped, run_info)
