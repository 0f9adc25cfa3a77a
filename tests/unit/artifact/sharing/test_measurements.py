"""From a bench report to what a card says: numbers, and none of the texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from neuron_whisper.artifact.sharing.measurements import (
    Measurement,
    decode_measurements,
    encode_measurements,
    read_report,
)
from neuron_whisper.errors import InvalidOption
from tests.support.bench_reports import make_report

KEY = "ab" * 32
MEASURED = Measurement(
    artifact_key=KEY,
    long_form="auto",
    wer=0.0321,
    cer=0.012,
    rtf=0.123,
    clips=8,
    audio_s=120.0,
    languages=("en",),
    processor="A CPU",
    threads=4,
    date="2026-11-27T12:00:00+00:00",
)


def write(path: Path, report: object) -> Path:
    path.write_text(json.dumps(report))
    return path


def test_the_measurements_of_artifacts_are_read_and_those_of_peers_are_not(tmp_path: Path) -> None:
    report = make_report(KEY)
    assert len(report["systems"]) == 2
    assert read_report(write(tmp_path / "report.json", report)) == [MEASURED]


def test_a_rate_may_be_missing_for_a_language_without_words(tmp_path: Path) -> None:
    report = make_report(KEY)
    report["systems"][0]["wer"]["rate"] = None
    assert read_report(write(tmp_path / "report.json", report))[0].wer is None


def without(report: dict[str, Any], *path: str) -> dict[str, Any]:
    *parents, name = path
    table: Any = report
    for parent in parents:
        table = table[parent]
    del table[name]
    return report


@pytest.mark.parametrize(
    "report",
    [
        [],
        {},
        {"systems": 3},
        {"systems": [3]},
        without(make_report(KEY), "speech"),
        without(make_report(KEY), "machine", "processor"),
        {**make_report(KEY), "speech": {"clips": -1, "audio_s": "x", "languages": []}},
    ],
)
def test_another_file_is_refused_by_name(tmp_path: Path, report: object) -> None:
    with pytest.raises(InvalidOption, match=r"--bench: .*report\.json"):
        read_report(write(tmp_path / "report.json", report))


def test_a_file_that_is_not_json_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xff")
    for path in (tmp_path / "a", tmp_path / "none", tmp_path):
        with pytest.raises(InvalidOption, match="--bench"):
            read_report(path)


def test_what_is_kept_in_a_repository_has_no_text_of_a_clip_and_is_read_back(tmp_path: Path) -> None:
    content = encode_measurements(read_report(write(tmp_path / "report.json", make_report(KEY))))
    assert b"secret words" not in content
    assert decode_measurements(content) == [MEASURED]


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[1]", b'[{"rtf": 1}]'])
def test_other_files_in_that_place_are_ignored(content: bytes) -> None:
    assert decode_measurements(content) == []
