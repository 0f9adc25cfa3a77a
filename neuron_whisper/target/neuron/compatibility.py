"""What of the host does not fit: the Neuron driver against the runtime library, glibc against PyTorch 2.9."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from neuron_whisper.host.hardware import ROOT
from neuron_whisper.target.neuron.sdk import RELEASES, UNKNOWN, installed_versions, parse_version

DRIVER_VERSION_FILE = "sys/module/neuron/version"  # in containers too: /sys is the host's
RUNTIME_DIRECTORY = "opt/aws/neuron/lib"  # of the packages and images; LD_LIBRARY_PATH is searched first
RUNTIME_LIBRARY = "libnrt.so.1"  # a link to libnrt.so.2.33.10.0
RUNTIME_VERSION = re.compile(r"libnrt\.so\.(\d+(?:\.\d+)+)")

# release-notes/components/runtime, known issues of the driver in 2.31.0 (2026-07-07), of the runtime in 2.30.0
# (2026-05-21, the containers' notes too); those of 2.32.0 do not take them back.
FIRST_STRICT_DRIVER, FIRST_RUNTIME_FOR_IT = (2, 29), (2, 33)
FIRST_STRICT_RUNTIME, FIRST_DRIVER_FOR_IT = (2, 32), (2, 27)
# deploy/environments/dlami (2026-08): PyTorch 2.9 does not load on Amazon Linux 2023, whose glibc is 2.34
GLIBC_OF_TORCH_2_9 = (2, 35)


@dataclass(frozen=True, slots=True, kw_only=True)
class Incompatibility:
    """Two versions that do not work together, for the user; `is_documented` of these very versions, not older ones."""

    reason: str
    advice: str
    is_documented: bool = True

    def __str__(self) -> str:
        return f"{self.reason}; {self.advice}"


def read_driver_version(root: Path = ROOT) -> str:
    """The version of the loaded driver (aws-neuronx-dkms), such as 2.31.7.0; empty when none is loaded."""
    try:
        return (root / DRIVER_VERSION_FILE).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def find_runtime_version(root: Path = ROOT, environment: Mapping[str, str] = os.environ) -> str:
    """The version of the runtime library (aws-neuronx-runtime-lib), by its file's name; empty when none is found."""
    directories = [Path(it) for it in environment.get("LD_LIBRARY_PATH", "").split(":") if it]
    for directory in (*directories, root / RUNTIME_DIRECTORY):
        if found := RUNTIME_VERSION.fullmatch((directory / RUNTIME_LIBRARY).resolve().name):
            return found[1]
    return ""


def find_incompatibilities(root: Path = ROOT) -> tuple[Incompatibility, ...]:
    """Those of this machine."""
    glibc = compare_glibc(installed_versions()["torch-neuronx"], platform.libc_ver())
    return tuple(it for it in (find_driver_mismatch(root), glibc) if it)


def find_driver_mismatch(root: Path = ROOT) -> Incompatibility | None:
    """As compare_driver_and_runtime, for the versions of this machine."""
    return compare_driver_and_runtime(read_driver_version(root), find_runtime_version(root))


def compare_driver_and_runtime(driver: str, runtime: str) -> Incompatibility | None:
    """The pairs whose nrt_init fails. ("2.31.7.0", "2.30.50.0") -> ...; None too where a version is unknown."""
    if not driver or not runtime:
        return None
    have_driver, have_runtime = parse_version(driver)[:2], parse_version(runtime)[:2]
    reason = f"the host's Neuron driver {driver} and the runtime library {runtime} do not work together"
    if have_driver >= FIRST_STRICT_DRIVER and have_runtime < FIRST_RUNTIME_FOR_IT:
        own = next((it.driver for it in RELEASES if parse_version(it.runtime) == have_runtime), "2.28")
        return Incompatibility(
            reason=f"{reason}: driver 2.29 and later need runtime 2.33 or later, else nrt_init fails",
            advice="compile and serve with SDK 2.31.1 (its image has runtime 2.33), or install the driver of this "
            f"runtime on the host: aws-neuronx-dkms={own}.*",
        )
    if have_runtime >= FIRST_STRICT_RUNTIME and have_driver < FIRST_DRIVER_FOR_IT:
        return Incompatibility(
            reason=f"{reason}: runtime 2.32 does not start on driver 2.26 and older",
            advice="upgrade aws-neuronx-dkms on the host, not in the container",
            is_documented=have_runtime == FIRST_STRICT_RUNTIME,
        )
    return None


def compare_glibc(torch_neuronx: str, libc: tuple[str, str]) -> Incompatibility | None:
    """("2.9.0.2.15.32035", ("glibc", "2.34")) -> ..., as on Amazon Linux 2023; None where they fit or are unknown."""
    name, text = libc
    is_torch_2_9 = torch_neuronx != UNKNOWN and parse_version(torch_neuronx)[:2] == (2, 9)
    if not is_torch_2_9 or name != "glibc" or parse_version(text) >= GLIBC_OF_TORCH_2_9:
        return None
    return Incompatibility(
        reason=f"glibc is {text}, and PyTorch 2.9 of torch-neuronx {torch_neuronx} needs 2.35 (Amazon Linux 2023 has "
        "2.34): GLIBC_2.35 is not found",
        advice="use Ubuntu 24.04, or AWS's image on this host",
    )
