"""Medians, counts and skipped systems of a report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from neuron_whisper.bench.accuracy.manifest import ReferenceUtterance
from neuron_whisper.bench.accuracy.report import build_report
from neuron_whisper.bench.accuracy.run import DecodedClip
from tests.support.bench_reports import make_result


def test_the_document_has_medians_and_counts(report: dict[str, Any]) -> None:
    ours, theirs = report["systems"]
    assert ours["wer"] == {"rate": 0.33333, "substitutions": 1, "deletions": 0, "insertions": 0, "reference": 3}
    # 14 characters of English, spaces among them, and 4 of Japanese
    assert ours["cer"] == {"rate": 0.11111, "substitutions": 1, "deletions": 1, "insertions": 0, "reference": 18}
    assert ours["languages"]["ja"]["wer"]["rate"] is None
    assert ours["languages"]["ja"]["cer"]["rate"] == 0.0
    assert ours["runs_s"] == [4.0, 4.0, 8.0]
    assert (ours["rtf"], ours["speed"]) == (0.1, 10.0)
    assert [clip["seconds"] for clip in ours["clips"]] == [1.5, 3.0]
    assert ours["latency_s"] == {"p50": 2.25, "p95": 2.925, "p99": 2.985}
    assert ours["throughput"] == {"8": 25.0}
    same = {"same_text": 1, "same_normalised_text": 1, "same_tokens": 1, "differing": [0]}
    assert ours["as_openai_whisper"] == same
    assert theirs["as_openai_whisper"] is None
    assert [(it["name"], it["reason"]) for it in report["skipped"]] == [
        ("faster-whisper tiny int8", "not installed here"),
        ("whisper.cpp tiny", "RuntimeError: no memory"),
    ]
    json.dumps(report, allow_nan=False)


def test_graphs_are_means_of_their_calls_and_a_peers_texts_are_compared_with_ours(report: dict[str, Any]) -> None:
    ours, theirs = report["systems"]
    assert ours["graphs"] == {
        "prefill": {"calls": 4, "mean_s": 0.5, "to_host_bytes": 92},
        "decode": {"calls": 8, "mean_s": 0.25, "to_host_bytes": None},
    }
    assert theirs["graphs"] == {}
    same = {"same_text": 1, "same_normalised_text": 1, "same_tokens": 1, "differing": [0]}
    assert theirs["as_neuron_whisper"] == same
    assert ours["as_neuron_whisper"] is None


def test_texts_are_compared_with_openai_whispers_by_language(report: dict[str, Any]) -> None:
    ours, theirs = report["systems"]
    found = {language: it["as_openai_whisper"] for language, it in ours["languages"].items()}
    assert found == {
        "en": {"same_text": 0, "same_normalised_text": 0, "same_tokens": 1, "differing": [0]},
        "ja": {"same_text": 1, "same_normalised_text": 1, "same_tokens": 0, "differing": []},
    }
    assert all(it["as_openai_whisper"] is None for it in theirs["languages"].values())


@pytest.mark.parametrize(
    ("language", "ours", "theirs", "is_same"),
    [
        ("en", "Mr. Brown's colour", "mister brown is color", True),
        ("en", "two", "too", False),
        ("fr", "C'est, là!", "c est  là", True),
        ("fr", "là", "la", False),  # an accent is a letter
        ("ja", "東京。です", "東京 です", True),
        ("ja", "東京", "東 京", False),
    ],
)
def test_normalised_texts_are_the_same_as_openai_whispers_normalisers_have_them(
    language: str, ours: str, theirs: str, is_same: bool
) -> None:
    utterance = ReferenceUtterance(path=Path("a.wav"), language=language, text="x")
    clip = DecodedClip(utterance=utterance, samples=Path(), duration_s=1.0)
    results = [make_result("neuron-whisper", [ours], [[1.0]]), make_result("openai-whisper", [theirs], [[1.0]])]
    found = build_report([clip], results, [], {})["systems"][0]["as_openai_whisper"]
    assert (found["same_text"], found["same_normalised_text"]) == (0, int(is_same))
