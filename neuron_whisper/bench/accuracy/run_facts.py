"""Under what a report was measured: command, machine, versions and options."""

from __future__ import annotations

import platform
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from neuron_whisper import __version__
from neuron_whisper.bench.accuracy.run import System
from neuron_whisper.bench.engines.config import DecodingConfig
from neuron_whisper.host import hardware

REPORTED_PACKAGES = ("openvino", "numpy", "jiwer", "openai-whisper")


def describe_machine() -> dict[str, Any]:
    """Its processor, cores, memory (bytes) and instruction sets, for a report."""
    memory_bytes, _ = hardware.read_memory_bytes()
    return {
        "processor": hardware.read_processor_name(),
        "architecture": platform.machine(),
        "cores": hardware.count_usable_cores(),
        "memory_bytes": memory_bytes,
        "instruction_sets": list(hardware.detect_instruction_sets()),
    }


def describe_run(
    systems: Sequence[System],
    decoding: DecodingConfig,
    *,
    threads: int,
    runs: int,
    detects_language: bool,
    one_at_a_time: bool = False,
    load: float,
) -> dict[str, Any]:
    """The facts of a run on this machine, now; `load` is that of other processes, from before it."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["neuron-whisper", *sys.argv[1:]]),  # as typed, without the program's path
        "machine": {
            **describe_machine(),
            "system": f"{platform.system()} {platform.release()}",
            "load_before": round(load, 2),
        },
        "versions": list_versions(systems),
        "options": {
            **asdict(decoding),
            "temperature": list(decoding.temperature),
            "language": "detected" if detects_language else "given",
            "runs": runs,
            "threads": threads,
            "one_at_a_time": one_at_a_time,
        },
    }


def list_versions(systems: Sequence[System]) -> dict[str, str]:
    """Package -> version, of this Python; one that a peer's Python has in another version is named with its engine."""
    versions = {"neuron-whisper": __version__, "python": platform.python_version()}
    for package in REPORTED_PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    for system in systems:
        for package, number in system.facts.get("versions", {}).items():
            name = package if versions.get(package, number) == number else f"{package} of {system.config.engine}"
            versions[name] = number
    return versions
