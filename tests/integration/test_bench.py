"""The command `bench`: a whole run in worker processes, and flags that are refused before it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from benchmarks.goals.parity import main as judge_parity
from neuron_whisper.bench.engines.peers import PEERS
from neuron_whisper.cli.main import run
from neuron_whisper.model.checkpoint import open_checkpoint
from tests.support.manifests import write_speech
from tests.support.tiny_models import TINY_DIMS, write_tiny_checkpoint


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    return write_speech(tmp_path)


@pytest.fixture(scope="module")
def missing_peer() -> str:
    """One that this python does not have."""
    found: Iterator[str] = (
        peer.name for peer in PEERS.values() if find_spec(peer.modules[0].partition(".")[0]) is None
    )
    name = next(found, None)
    if name is None:
        pytest.skip("every peer is installed: that a missing one is named is not proved")
    return name


def test_a_whole_run_measures_ours_and_openai_whisper_and_names_what_is_missing(
    speech: Path, tiny_profile: Path, missing_peer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # openai-whisper ends a window after half the text context, which nonsense always fills
    few = replace(TINY_DIMS, n_text_ctx=24)
    tiny_checkpoint = write_tiny_checkpoint(tmp_path / "tiny-random.en", dims=few)
    out = {kind: tmp_path / f"report.{kind}" for kind in ("json", "markdown", "picture")}
    code = run(
        [
            "bench",
            str(speech / "speech.jsonl"),
            "--model",
            str(tiny_checkpoint),
            "--profile",
            str(tiny_profile),
            "--peer",
            "openai-whisper",
            "--peer",
            missing_peer,
            "--cache",
            str(tmp_path / "cache"),
            "--temperature",
            "0",
            "--runs",
            "2",
            "--streams",
            "2",
            "--threads",
            "1",
            *(part for kind, file in out.items() for part in (f"--{kind}", str(file))),
        ]
    )
    printed = capsys.readouterr()
    assert code == 0, printed.err
    found = json.loads(out["json"].read_text())
    assert [system["engine"] for system in found["systems"]] == ["neuron-whisper", "openai-whisper"]
    for system in found["systems"]:
        assert len(system["runs_s"]) == 2
        assert 0 < system["latency_s"]["p50"] <= system["latency_s"]["p99"]
        assert system["throughput"]["2"] > 0
        assert 50e6 < system["peak_bytes"] < 3e9
        assert 0 < system["load_s"] < 120
        assert [clip["words"]["reference"] for clip in system["clips"]] == [1, 0]
    assert len(found["systems"][0]["artifact_key"]) == 64
    assert found["skipped"][0]["name"].startswith(missing_peer)
    assert found["skipped"][0]["install"] == PEERS[missing_peer].install
    assert f"not measured: **{missing_peer} tiny-random.en" in printed.out
    assert "1 recordings have no text" in printed.err
    assert out["markdown"].read_text().startswith("# Accuracy and speed\n")
    assert out["picture"].read_text().startswith("<svg ")
    assert found["systems"][0]["languages"]["en"]["as_openai_whisper"]["same_normalised_text"] in range(3)
    assert "## Beside openai-whisper by language" in printed.out
    # the goals of `make parity` are judged on this report; a random model's texts may reach them or not
    goals = judge_parity([str(out["json"]), "--profile", tiny_profile.stem])
    assert goals in (0, 1)
    assert "| WER, en |" in capsys.readouterr().out
    # what openai-whisper ran on are the checkpoint's weights
    [converted] = (tmp_path / "cache" / "bench").glob("*-openai/model.pt")
    checkpoint, theirs = open_checkpoint(tiny_checkpoint), open_checkpoint(converted)
    assert theirs.dims == checkpoint.dims
    assert all(np.array_equal(theirs.tensor(name), checkpoint.tensor(name)) for name in checkpoint.parameter_names)
