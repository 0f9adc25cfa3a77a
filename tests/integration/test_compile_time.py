"""Time and memory of compiling, in processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.profiling.compile_time import main


def test_a_model_is_compiled_in_a_cache_of_its_own(
    tiny_checkpoint: Path,
    tiny_profile: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NEURON_WHISPER_CACHE", str(tmp_path / "cache"))
    assert main(["--model", str(tiny_checkpoint), "--profile", str(tiny_profile)]) == 0
    model, _, wall_s, cpu_s, peak_mb, artifact_mb, runs = (
        cell.strip() for cell in capsys.readouterr().out.splitlines()[2].strip("|").split("|")
    )
    assert (model, runs) == (tiny_checkpoint.name, "1")
    assert float(wall_s) > 0.5
    assert float(cpu_s) > 0.5
    assert 100 < int(peak_mb) < 4000
    assert 0 < int(artifact_mb) < 100
    assert not (tmp_path / "cache" / "artifacts").exists()


def test_what_cannot_be_compiled_is_refused_with_the_reason(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--model", str(tiny_checkpoint), "--profile", "cpu-int9"]) == 2
    assert "cpu-int9" in capsys.readouterr().err
