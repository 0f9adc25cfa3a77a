"""`python -m benchmarks.goals`: a whole run in worker processes and over HTTP."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.goals.__main__ import main
from neuron_whisper.cli.main import run
from tests.support.tiny_models import TINY_DIMS, write_tiny_checkpoint


def test_a_whole_run_measures_neuron_whisper_in_processes_and_over_http_and_names_missing_peers(
    tiny_profile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from scipy.io import wavfile

    cache = tmp_path / "cache"
    monkeypatch.setenv("NEURON_WHISPER_CACHE", str(cache))
    checkpoint = write_tiny_checkpoint(tmp_path / "tiny-random.en", dims=replace(TINY_DIMS, n_text_ctx=24))
    assert run(["compile", "--model", str(checkpoint), "--profile", str(tiny_profile)]) == 0
    artifact = Path(capsys.readouterr().out.strip()).name
    rows = []
    for name, seconds in (("short", 2), ("long", 31)):
        noise = (3000 * np.random.default_rng(0).standard_normal(16_000 * seconds)).astype(np.int16)
        wavfile.write(tmp_path / f"{name}.wav", 16_000, noise)
        rows.append(json.dumps({"path": f"{name}.wav", "text": "ask not", "language": "en"}))
    (tmp_path / "speech.jsonl").write_text("\n".join(rows))
    code = main(
        [
            str(tmp_path / "speech.jsonl"),
            "--artifact",
            f"tiny={artifact}",
            "--rows",
            "short,clients-8",
            "--runs",
            "1",
            "--threads",
            "1",
            "--json",
            str(tmp_path / "report.json"),
            "--picture",
            str(tmp_path / "a.svg"),
        ]
    )
    printed = capsys.readouterr()
    assert code == 0, printed.err
    report = json.loads((tmp_path / "report.json").read_text())
    assert [row["name"] for row in report["rows"]] == ["short", "clients-8"]
    for row, metrics in zip(report["rows"], (("seconds",), ("seconds", "p95_s")), strict=True):
        ours, *theirs = row["systems"]
        assert ours["name"] == "neuron-whisper tiny"
        assert not ours["error"]
        assert all(ours["metrics"][metric]["median"] > 0 for metric in metrics)
        assert 50e6 < ours["metrics"]["peak_bytes"]["median"] < 3e9
        assert ours["metrics"]["cpu_s"]["median"] > 0
        assert ours["wer"]["reference"] == 2
        assert theirs
        if row["name"] == "clients-8":
            assert ours["note"] == "0.0 rows in a step on average"  # noise has no speech: nothing is decoded
    assert report["command"] == "make bench-peers GOALS='--rows short,clients-8 --runs 1 --threads 1'"
    assert "| short | neuron-whisper tiny |" in printed.out
    code = main(["--merge", str(tmp_path / "report.json")])
    assert code == 0
    assert "| short | neuron-whisper tiny |" in capsys.readouterr().out
