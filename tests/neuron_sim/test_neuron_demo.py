"""`demo --target neuron` from an empty cache to its report, where nothing can import NxDI."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import neuron_sim
from tests.neuron_sim.test_neuron_nxdi import DIMS, PROFILE
from tests.support.manifests import write_speech
from tests.support.tiny_models import write_tiny_checkpoint

pytestmark = pytest.mark.skipif(
    not neuron_sim.is_installed(), reason="no simulator: that the demo runs on Neuron is not proved"
)

ABSENT = "raise ModuleNotFoundError(f'{__name__} is not installed', name=__name__)\n"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Of processes in which every import of NxDI fails."""
    package = tmp_path / "site" / "neuronx_distributed_inference"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(ABSENT)
    (package / "_version.py").write_text("")
    return os.environ | {"NXDI_SRC": str(package.parent), "HF_TOKEN": "hf_" + 30 * "x"}


def run_demo(
    folder: Path, environment: dict[str, str], profile: str = PROFILE
) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """The command on seeded weights and a second of noise, and its report."""
    checkpoint = write_tiny_checkpoint(folder / "tiny-random.en", dims=DIMS)
    (folder / "neuron.toml").write_text(profile)
    speech = write_speech(folder) / "a.wav"
    command = [
        *(sys.executable, "-m", "neuron_whisper", "demo", "--target", "neuron", "--model", str(checkpoint)),
        *("--profile", str(folder / "neuron.toml"), "--speech", str(speech), "--cache", str(folder / "cache")),
        *("--report", "report.json", "--report", "report.md"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
    return done, json.loads((folder / "report.json").read_text())


def test_every_stage_is_ok_and_its_report_says_that_the_packages_are_simulated(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    done, report = run_demo(tmp_path, environment)
    assert done.returncode == 0, done.stderr
    assert [stage["state"] for stage in report["stages"]] == ["ok"] * 7
    assert report["neuron"]["simulated"]
    assert "compiling encode 1" in [it["step"] for it in report["compile_steps"]]
    assert "+simulated" in report["artifact"]["toolchain"]["torch-neuronx"]
    assert report["artifact"]["name"].startswith("tiny-random.en-neuron-tp1-")
    assert (report["speech"], len(report["result"]["seconds"])) == ({"origin": "a.wav", "audio_s": 1.0}, 3)
    assert report["result"]["rtf"] > 0
    assert report["result"]["graphs"]["encode"]["calls"] == 3
    assert {it["name"]: it["verdict"] for it in report["checks"]}["target neuron"] == "ok"
    markdown = (tmp_path / "report.md").read_text()
    assert markdown.startswith("# neuron-whisper demo: ok\n\nThe Neuron packages are those of the simulator:")
    for text in (markdown, json.dumps(report)):
        assert environment["HF_TOKEN"] not in text


def test_a_compiler_that_is_killed_is_the_error_of_its_stage_with_the_graph_and_what_to_do(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    profile = PROFILE + '[compiler]\nargs = ["--simulate-fault=killed"]\n'
    done, report = run_demo(tmp_path, environment, profile)
    assert done.returncode == 2
    assert [stage["state"] for stage in report["stages"]] == ["ok", "ok", "failed", *["not reached"] * 4]
    assert report["error"]["kind"] == "CompilerKilled"
    assert "--jobs 1" in report["error"]["message"]
    assert report["compile_steps"][-1]["step"].startswith("compiling ")
