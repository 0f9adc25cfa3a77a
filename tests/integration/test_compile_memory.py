"""A Neuron compile that the host's memory cannot hold is refused before the compiler begins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from neuron_whisper.cli.main import run
from neuron_whisper.host import hardware
from neuron_whisper.target.registry import missing_packages
from tests.support.stub_neuron import StubNeuron


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StubNeuron:
    if not missing_packages("neuron"):
        pytest.skip("the Neuron packages are installed: what a stub of them shows is not proved here")
    return StubNeuron(tmp_path, monkeypatch)


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with 64 MB, less than the compiler takes for one graph."""
    monkeypatch.setattr(hardware, "read_memory_bytes", lambda: (128 << 20, 64 << 20))


def test_compile_refuses_before_it_begins_and_goes_on_with_ignore_memory(
    stub: StubNeuron, capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny_checkpoint: Path, little_memory: None
) -> None:
    cache = tmp_path / "cache"
    command = [
        "compile",
        "--model",
        str(tiny_checkpoint),
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
