"""NeuronCores: reserved, and explained when they are held by another process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from neuron_whisper.errors import InvalidOption
from neuron_whisper.target.neuron.runtime.core_allocation import explain_load_failure, find_core_users, reserve_cores
from tests.support.stub_neuron import write_driver_and_runtime

NOT_AVAILABLE = RuntimeError("NeuronCore(s) not available - Requested:2 Available:0")


@pytest.fixture
def devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with two devices, and an empty directory as the path."""
    root, tools = tmp_path / "root", tmp_path / "tools"
    (root / "dev").mkdir(parents=True)
    tools.mkdir()
    for name in ("neuron0", "neuron1"):
        (root / "dev" / name).touch()
    monkeypatch.setenv("PATH", str(tools))
    return root


def test_who_has_a_device_open_is_named_by_pid_and_command(devices: Path) -> None:
    hold = "import sys; file = open(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", hold, str(devices / "dev" / "neuron1")]
    assert find_core_users(devices) == ()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        message = str(explain_load_failure(NOT_AVAILABLE, "NEURON_RT_NUM_CORES=2", root=devices))
        process.communicate("")
    assert f"pid {process.pid} ({sys.executable} -c import sys" in message
    assert "on neuron1\n" in message
    assert "choose cores that are free with NEURON_RT_VISIBLE_CORES" in message


@pytest.mark.parametrize(
    ("runtime", "message", "is_blamed"),
    [
        ("2.30.51.0", "nrt_init status=4", True),
        ("2.30.51.0", str(NOT_AVAILABLE), True),
        ("2.30.51.0", "a weight is missing", False),
        ("2.33.10.0", "nrt_init status=4", False),
    ],
)
def test_a_driver_that_does_not_take_the_runtime_is_blamed_for_a_failed_nrt_init(
    devices: Path, monkeypatch: pytest.MonkeyPatch, runtime: str, message: str, is_blamed: bool
) -> None:
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    write_driver_and_runtime(devices, driver="2.31.7.0", runtime=runtime)
    error = str(explain_load_failure(RuntimeError(message), "NEURON_RT_NUM_CORES=2", root=devices))
    assert message in error
    assert (f"driver 2.31.7.0 and the runtime library {runtime} do not work together" in error) is is_blamed


def test_neuron_ls_is_used_where_it_is_installed(devices: Path, tmp_path: Path) -> None:
    listed = [
        {"neuron_device": 0, "nc_count": 2, "neuron_processes": [{"pid": 812, "command": "python -m vllm"}]},
        {"neuron_device": 1, "nc_count": 2, "neuron_processes": [{"pid": 812, "command": "python -m vllm"}]},
    ]
    tool = tmp_path / "tools" / "neuron-ls"
    tool.write_text(f"#!/bin/sh\n[ $1 = -j ] && echo '{json.dumps(listed)}'\n")
    tool.chmod(0o755)
    (holder,) = find_core_users(devices)
    assert str(holder) == "pid 812 (python -m vllm) on neuron0, neuron1"


@pytest.mark.parametrize("answer", ["not JSON", "{}", '[{"neuron_device": 0}]'])
def test_unexpected_output_of_neuron_ls_is_ignored(devices: Path, tmp_path: Path, answer: str) -> None:
    tool = tmp_path / "tools" / "neuron-ls"
    tool.write_text(f"#!/bin/sh\necho '{answer}'\n")
    tool.chmod(0o755)
    with (devices / "dev" / "neuron0").open():
        assert find_core_users(devices) == ()  # this process is not counted


def test_a_full_device_is_distinguished_from_a_held_one(devices: Path) -> None:
    error = RuntimeError('nrt_tensor_allocate status=4 message="Allocation Failure"')
    assert "fewer --slots or more --tp" in str(explain_load_failure(error, "NEURON_RT_NUM_CORES=2", root=devices))
    message = str(explain_load_failure(NOT_AVAILABLE, "NEURON_RT_NUM_CORES=2", root=devices))
    assert "No process that this user can see holds a core: `sudo neuron-ls` sees all of them." in message


def test_cores_are_requested_unless_the_environment_chooses() -> None:
    environment: dict[str, str] = {}
    assert reserve_cores(environment, 2) == "NEURON_RT_NUM_CORES=2"
    assert environment == {"NEURON_RT_NUM_CORES": "2"}
    chosen = {"NEURON_RT_VISIBLE_CORES": "0-3,6"}
    assert reserve_cores(chosen, 5) == "NEURON_RT_VISIBLE_CORES=0-3,6"
    assert chosen == {"NEURON_RT_VISIBLE_CORES": "0-3,6"}


@pytest.mark.parametrize(
    "chosen", [{"NEURON_RT_VISIBLE_CORES": "1"}, {"NEURON_RT_NUM_CORES": "1"}, {"NEURON_RT_VISIBLE_CORES": "two"}]
)
def test_too_few_cores_are_refused_by_name(chosen: dict[str, str]) -> None:
    with pytest.raises(InvalidOption, match="2 or more NeuronCores"):
        reserve_cores(chosen, 2)
