"""Reserves NeuronCores before the runtime starts, and explains why the runtime could not load the graphs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuron_whisper.errors import DeviceError, InvalidOption
from neuron_whisper.host.hardware import list_neuron_devices
from neuron_whisper.target.neuron.compatibility import find_driver_mismatch
from neuron_whisper.target.neuron.runtime.cores import NUM_CORES, VISIBLE_CORES, read_allowed_cores

NEURON_LS_TIMEOUT_S = 20.0
MAX_COMMAND_CHARACTERS = 100
# Messages of the runtime (aws-neuron-sdk issues 1018 and 1338, optimum-neuron issue 377, vllm issue 12443).
CORES_BUSY = re.compile(
    r"not available|(could not|cannot) be initialized|nrt_init|nrt_allocate|NRT_RESOURCE", re.IGNORECASE
)
DEVICE_MEMORY_FULL = re.compile(r"allocation failure|failed to alloc|out of (device )?memory", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreUser:
    """A process that has Neuron devices open."""

    pid: int
    command: str
    devices: tuple[str, ...]

    def __str__(self) -> str:
        return f"pid {self.pid} ({self.command or 'command unknown'}) on {', '.join(self.devices)}"


def reserve_cores(environment: MutableMapping[str, str], cores: int) -> str:
    """Request `cores` NeuronCores from the runtime, unless the environment chooses. Returns "VARIABLE=value".

    To be called before a Neuron package is imported: by default the runtime takes every core of the machine, and a
    core belongs to one process at a time. Raises InvalidOption when the environment chooses fewer cores than needed.
    """
    if chosen := read_allowed_cores(environment, needed=cores):
        variable, allowed = chosen
        if len(allowed) < cores:
            raise InvalidOption(variable, environment[variable], f"{cores} or more NeuronCores for this artifact")
        return f"{variable}={environment[variable]}"
    environment[NUM_CORES] = str(cores)
    return f"{NUM_CORES}={cores}"


def explain_load_failure(error: Exception, cores: str, *, root: Path = Path("/")) -> DeviceError:
    """The error to raise for a failed load: the runtime's message, versions or processes to blame, what to do."""
    message = f"the Neuron runtime could not load the graphs ({cores}): {error}"
    if DEVICE_MEMORY_FULL.search(str(error)):
        return DeviceError(
            f"{message}\nThe device's memory is full: compile with fewer --slots or more --tp; `neuron-whisper plan` "
            f"computes how many slots fit."
        )
    if not list_neuron_devices(root):
        return DeviceError(
            f"{message}\nThere is no /dev/neuron*: no Neuron device, or its driver (aws-neuronx-dkms) is not loaded."
        )
    if CORES_BUSY.search(str(error)) and (mismatch := find_driver_mismatch(root)):
        return DeviceError(f"{message}\n{mismatch}")
    if users := find_core_users(root):
        each = "\n".join(f"  {user}" for user in users)
        return DeviceError(
            f"{message}\nA NeuronCore belongs to one process at a time. These hold some:\n{each}\n"
            f"End them, or choose cores that are free with {VISIBLE_CORES}."
        )
    if CORES_BUSY.search(str(error)):
        message += "\nNo process that this user can see holds a core: `sudo neuron-ls` sees all of them."
    return DeviceError(message)


def find_core_users(root: Path = Path("/")) -> tuple[CoreUser, ...]:
    """Other processes with Neuron devices, by pid: as neuron-ls lists them, else those with /dev/neuron* open.

    `root` contains dev/. Processes of other users are visible to root only, those of other containers to no one.
    """
    listed = _run_neuron_ls()
    found = _scan_proc(root) if listed is None else listed
    return tuple(found[pid] for pid in sorted(found) if pid != os.getpid())


def _run_neuron_ls() -> dict[int, CoreUser] | None:
    """From `neuron-ls -j`; None where it is not installed, or its output is another (SDK 2.34 and later)."""
    tool = shutil.which("neuron-ls")
    if tool is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - found on the path
            [tool, "-j"], capture_output=True, text=True, timeout=NEURON_LS_TIMEOUT_S, check=True
        )
        return _parse_neuron_ls(json.loads(done.stdout))
    except (OSError, subprocess.SubprocessError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _parse_neuron_ls(devices: list[Mapping[str, Any]]) -> dict[int, CoreUser]:
    """The processes in neuron-ls's JSON: a list of devices, each with its neuron_processes."""
    found: dict[int, CoreUser] = {}
    for device in devices:
        for process in device["neuron_processes"] or ():
            pid, name = int(process["pid"]), f"neuron{device['neuron_device']}"
            before = found[pid].devices if pid in found else ()
            command = str(process.get("command", ""))[:MAX_COMMAND_CHARACTERS]
            found[pid] = CoreUser(pid=pid, command=command, devices=(*before, name))
    return found


def _scan_proc(root: Path) -> dict[int, CoreUser]:
    """From /proc: the processes that have a device file open."""
    devices = {str((root / name[1:]).absolute()): name[5:] for name in list_neuron_devices(root)}  # "/dev/neuron0"
    found = {}
    for process in Path("/proc").iterdir() if devices else ():
        if process.name.isdecimal() and (
            held := {devices[path] for path in _read_links(process / "fd") if path in devices}
        ):
            pid = int(process.name)
            found[pid] = CoreUser(pid=pid, command=_read_command(process), devices=tuple(sorted(held)))
    return found


def _read_links(directory: Path) -> list[str]:
    links = []
    try:
        for link in directory.iterdir():
            links.append(str(link.readlink()))
    except OSError:  # the process has ended, or is another user's
        pass
    return links


def _read_command(process: Path) -> str:
    try:
        words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    return " ".join(words).strip()[:MAX_COMMAND_CHARACTERS]
