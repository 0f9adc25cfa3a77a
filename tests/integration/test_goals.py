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

METRICS = (("seconds", "cpu_s"), ("seconds", "p95_s", "cpu_s"), ("first_s", "anonymous_bytes"))


@pytest.fixture
def artifact(
    tiny_profile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> str:
    monkeypatch.setenv("NEURON_WHISPER_CACHE", str(tmp_path / "cache"))
    checkpoint = write_tiny_checkpoint(tmp_path / "tiny-random.en", dims=replace(TINY_DIMS, n_text_ctx=24))
    assert run(["compile", "--model", str(checkpoint), "--profile", str(tiny_profile)]) == 0
    return Path(capsys.readouterr().out.strip()).name


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Two recordings of noise, of which one fits a window."""
    from scipy.io import wavfile

    rows = []
    for name, seconds in (("short", 2), ("long", 31)):
        noise = (3000 * np.random.default_rng(0).standard_normal(16_000 * seconds)).astype(np.int16)
        wavfile.write(tmp_path / f"{name}.wav", 16_000, noise)
        rows.append(json.dumps({"path": f"{name}.wav", "text": "ask not", "language": "en"}))
    path = tmp_path / "speech.jsonl"
    path.write_text("\n".join(rows))
    return path


def test_fresh_processes_take_turns_too(artifact: str, manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = [f"--artifact={label}={artifact}" for label in ("a", "b")]
    main([str(manifest), *labels, "--rows", "process", "--runs", "2", "--threads", "1"])
    lines = [line for line in capsys.readouterr().err.splitlines() if "first text after" in line]
    assert [line.partition(":")[0] for line in lines] == [f"neuron-whisper {label}" for label in "abba"]


def test_a_whole_run_measures_neuron_whisper_in_processes_and_over_http_and_names_missing_peers(
    tmp_path: Path, artifact: str, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(
        [
            str(manifest),
            "--artifact",
            f"tiny={artifact}",
            "--rows",
            "short,clients-8,process",
            "--runs",
            "1",
            "--threads",
            "1",
            "--load-before",
            "0.75",
            "--json",
            str(tmp_path / "report.json"),
            "--picture",
            str(tmp_path / "a.svg"),
        ]
    )
    printed = capsys.readouterr()
    assert code == 3, printed.err  # a profile without goals
    report = json.loads((tmp_path / "report.json").read_text())
    assert [row["name"] for row in report["rows"]] == ["short", "clients-8", "process"]
    for row, metrics in zip(report["rows"], METRICS, strict=True):
        ours, *theirs = row["systems"]
        assert ours["name"] == "neuron-whisper tiny"
        assert not ours["error"]
        assert all(ours["metrics"][metric]["median"] > 0 for metric in metrics)
        assert 50e6 < ours["metrics"]["peak_bytes"]["median"] < 3e9
        assert 0 <= row["steal_share"] < row["busy_share"] + row["steal_share"] <= 1
        assert ours["wer"]["reference"] == 2
        assert theirs
        if row["name"] == "clients-8":
            assert ours["note"] == "0.0 rows in a step on average"  # noise has no speech: nothing is decoded
    process = report["rows"][-1]["systems"][0]["metrics"]
    assert 20e6 < process["anonymous_bytes"]["median"] < process["peak_bytes"]["median"]
    assert report["command"] == "make bench-peers GOALS='--rows short,clients-8,process --runs 1 --threads 1'"
    assert report["load_before"] == 0.75
    assert "**The load average was 0.75 before this run began" in printed.out
    assert "| short | neuron-whisper tiny |" in printed.out
    code = main(["--merge", str(tmp_path / "report.json")])
    assert code == 3
    assert "| short | neuron-whisper tiny |" in capsys.readouterr().out
    # judged as the default profile it is a miss, in the exit code too: the peer is said to be as fast
    for row in report["rows"]:
        ours, *theirs = row["systems"]
        ours["name"] = "neuron-whisper cpu"
        theirs[0] |= {"error": "", "metrics": ours["metrics"], "wer": ours["wer"]}
    (tmp_path / "report.json").write_text(json.dumps(report))
    assert main(["--merge", str(tmp_path / "report.json")]) == 1
    assert "- missed: cpu, short clips one after another, greedy, s" in capsys.readouterr().out
    (tmp_path / "old.json").write_text('{"format": 1}')
    assert main(["--merge", str(tmp_path / "old.json")]) == 2
