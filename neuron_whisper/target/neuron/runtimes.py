"""The two runtimes of compiled graphs, PyTorch NeuronX and nrtpy: which of them are here, and which one is used.

An artifact runs on either, so the choice is the machine's, not the profile's. Imports neither.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

from neuron_whisper.errors import InvalidOption, TargetUnavailable
from neuron_whisper.host.hardware import ROOT
from neuron_whisper.target.neuron.compatibility import find_runtime_version
from neuron_whisper.target.neuron.sdk import (
    PLACEHOLDERS,
    RELEASES,
    UNKNOWN,
    describe_placeholder,
    detect_sdk,
    installed_version,
    installed_versions,
    parse_version,
)
from neuron_whisper.target.registry import install_command, missing_packages

Runtime = Literal["torch-neuronx", "nrtpy"]
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
RUNTIME_VARIABLE = "NEURON_WHISPER_NEURON_RUNTIME"
NEURON_INDEX = "--extra-index-url https://pip.repos.neuron.amazonaws.com"
NRTPY_INSTALL = f"pip install nrtpy {NEURON_INDEX}"
FIRST_NRTPY_RUNTIME = (2, 34)  # of SDK 2.32, the first with nrtpy


def choose_runtime(environment: Mapping[str, str] = os.environ, root: Path = ROOT) -> Runtime:
    """The runtime that NEURON_WHISPER_NEURON_RUNTIME names, else PyTorch NeuronX where it is usable, else nrtpy.

    Raises TargetUnavailable when that one is not usable here, InvalidOption for another name.
    """
    if chosen := environment.get(RUNTIME_VARIABLE):
        if chosen not in RUNTIMES:
            raise InvalidOption(RUNTIME_VARIABLE, chosen, f"one of {', '.join(RUNTIMES)}")
        runtime: Runtime = "nrtpy" if chosen == "nrtpy" else "torch-neuronx"
    else:
        is_supported = not missing_packages("neuron") and not detect_sdk(installed_versions()).unsupported
        runtime = "torch-neuronx" if is_supported or not is_nrtpy_installed() else "nrtpy"
    if runtime == "torch-neuronx":
        check_compile_packages()
    else:
        check_nrtpy(installed_version("nrtpy"), find_runtime_version(root, environment))
    return runtime


def check_compile_packages() -> None:
    """Raises TargetUnavailable when packages are missing that compile, and run NxD's bundle."""
    if missing := missing_packages("neuron"):
        reason = f"not installed: {', '.join(missing)}"
        if is_nrtpy_installed():
            reason += "; nrtpy, which is, only runs what was compiled elsewhere: `artifacts import`, then --artifact"
        raise TargetUnavailable("neuron", reason, install_command("neuron"))


def is_nrtpy_installed() -> bool:
    """Whether nrtpy is here, and not only PyPI's placeholder of its name."""
    return find_spec("nrtpy") is not None and installed_version("nrtpy") != PLACEHOLDERS["nrtpy"]


def check_nrtpy(nrtpy: str, runtime: str) -> None:
    """Raises TargetUnavailable when version `nrtpy` is not usable with version `runtime` of the runtime library.

    AWS asks for a matching version; which digits must match is not said. Another build is described by
    `describe_nrtpy_risks`. An unknown version (UNKNOWN, or no runtime found) passes.
    """
    if nrtpy == PLACEHOLDERS["nrtpy"]:
        raise TargetUnavailable("neuron", describe_placeholder("nrtpy"), NRTPY_INSTALL)
    if find_spec("nrtpy") is None:
        raise TargetUnavailable("neuron", "not installed: nrtpy", NRTPY_INSTALL)
    have, library = parse_version(nrtpy)[:2], parse_version(runtime)[:2]
    if nrtpy == UNKNOWN or not runtime or have == library:
        return
    reason = f"nrtpy {nrtpy} needs the runtime library of its own version, here is {runtime} (aws-neuronx-runtime-lib)"
    if library < FIRST_NRTPY_RUNTIME:
        sdk = next((release.name for release in RELEASES if parse_version(release.runtime) == have), "2.32 or later")
        raise TargetUnavailable("neuron", f"{reason}; there is none for {runtime}: install the runtime of SDK {sdk}")
    wanted = ".".join(map(str, library))
    raise TargetUnavailable("neuron", reason, f'pip install "nrtpy=={wanted}.*" {NEURON_INDEX}')


def describe_nrtpy_risks(root: Path = ROOT, environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """A sentence for each thing that may keep nrtpy from working here."""
    nrtpy, runtime = installed_version("nrtpy"), find_runtime_version(root, environment)
    risks = []
    if UNKNOWN not in (nrtpy, runtime or UNKNOWN) and parse_version(nrtpy)[:3] != parse_version(runtime)[:3]:
        risks.append(f"nrtpy {nrtpy} and the runtime library {runtime} are of different builds")
    if installed_version("nki") != UNKNOWN:
        risks.append("the packages nrtpy and nki take the same names: give nrtpy an environment of its own")
    return tuple(risks)
