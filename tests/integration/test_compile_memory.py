"""A Neuron compile that the host's memory cannot hold is refused before the compiler begins."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from neuron_whisper.cli.main import run
from neuron_whisper.target.registry import missing_packages
from tests.support.stub_neuron import StubNeuron
from tests.support.tiny_models import TINY_DIMS, write_tiny_checkpoint


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StubNeuron:
    if not missing_packages("neuron"):
        pytest.skip("the Neuron packages are installed: what a stub of them shows is not proved here")
    return StubNeuron(tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def long_windows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small file whose encoder attends over a quarter of an hour, 64 windows at a time: hundreds of GB to compile."""
    dims = replace(TINY_DIMS, n_audio_ctx=48_000)
    return write_tiny_checkpoint(tmp_path_factory.mktemp("models") / "long.en", dims=dims)


def test_compile_refuses_before_it_begins_and_goes_on_with_ignore_memory(
    stub: StubNeuron, capsys: pytest.CaptureFixture[str], tmp_path: Path, long_windows: Path
) -> None:
    cache = tmp_path / "cache"
    command = [
        "compile",
        "--model",
        str(long_windows),
        "--target",
        "neuron",
        "--slots",
        "64",
        "--encode-batch",
        "64",
        "--cache",
        str(cache),
    ]
    stub.write_tool("neuronx-cc", f"touch {tmp_path}/begun; exit 1")
    assert run([*command, "--dry-run", "--json"]) == 0
    memory = json.loads(capsys.readouterr().out)["compile_memory"]
    assert 0 < memory["available_bytes"] < memory["one_at_a_time_bytes"] < memory["all_at_once_bytes"]
    assert run(command) == 2
    stderr = capsys.readouterr().err
    assert "error: compiling one graph at a time takes about " in stderr
    assert "GB of it for encode 64 alone (an estimate)" in stderr
    assert not (tmp_path / "begun").exists()
    assert run([*command, "--ignore-memory"]) == 2
    assert "continuing: 1 of " in capsys.readouterr().err
    assert (tmp_path / "begun").exists()
