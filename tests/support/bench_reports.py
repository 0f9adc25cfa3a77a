"""Results of `bench`, and a report of it as far as cards of artifacts read it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from neuron_whisper.bench.accuracy.manifest import ReferenceUtterance
from neuron_whisper.bench.accuracy.report import SkippedSystem, build_report
from neuron_whisper.bench.accuracy.run import DecodedClip, System, SystemResult
from neuron_whisper.bench.engines.config import DecodingConfig, EngineConfig
from neuron_whisper.bench.engines.results import GraphTotal


def make_report(artifact_key: str) -> dict[str, Any]:
    """An artifact of ours and a peer, on eight clips."""
    rates = {"substitutions": 1, "deletions": 0, "insertions": 0, "reference": 30}
    system = {
        "name": "neuron-whisper base",
        "model": "base",
        "variant": "auto",
        "threads": 4,
        "wer": {"rate": 0.0321, **rates},
        "cer": {"rate": 0.012, **rates},
        "rtf": 0.123,
        "clips": [{"text": "secret words"}],
    }
    return {
        "format": 1,
        "date": "2026-11-27T12:00:00+00:00",
        "machine": {"processor": "A CPU"},
        "speech": {"clips": 8, "audio_s": 120.0, "languages": ["en"]},
        "clips": [{"name": "a.wav", "reference": "secret words"}],
        "systems": [{**system, "artifact_key": artifact_key}, {**system, "name": "faster-whisper base"}],
    }


def make_result(
    engine: str, texts: list[str], seconds: list[list[float]], *, label: str = "tiny", **more: Any
) -> SystemResult:
    """A system "ENGINE LABEL" on the model tiny; its tokens are the numbers of the clips."""
    config = EngineConfig(engine=engine, variant="auto", source="", threads=2, decoding=DecodingConfig())
    facts = {"artifact_key": "0123456789abcdef0123"} if engine == "neuron-whisper" else {"note": "as it is"}
    system = System(name=f"{engine} {label}", model="tiny", config=config, python=sys.executable, facts=facts)
    tokens: list[list[int] | None] = [[n] for n in range(len(texts))]
    return SystemResult(system, load_s=1.5, peak_bytes=300_000_000, texts=texts, tokens=tokens, seconds=seconds, **more)


def build_small_report() -> dict[str, Any]:
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
