"""The targets by name. A target's module is imported only when it is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from neuron_whisper.errors import InvalidOption, TargetUnavailable
from neuron_whisper.target.interfaces import Target

# torch of the default index brings 6 GB of CUDA; its CPU build is all that compiling needs
INSTALL_COMPILE = (
    'pip install torch --index-url https://download.pytorch.org/whl/cpu && pip install "neuron-whisper[compile]"'
)
NEURON_PACKAGES = ("torch_neuronx", "neuronx_distributed")
# name -> (module, packages it needs, the command that installs them)
_TARGETS = {
    "cpu": ("neuron_whisper.target.cpu.target", ("openvino",), "pip install neuron-whisper"),
    "reference": ("neuron_whisper.target.reference.target", ("torch",), INSTALL_COMPILE),
    "neuron": (
        "neuron_whisper.target.neuron.target",
        NEURON_PACKAGES,
        'pip install "neuron-whisper[neuron]" --extra-index-url https://pip.repos.neuron.amazonaws.com',
    ),
}


def target_names() -> tuple[str, ...]:
    return tuple(_TARGETS)


def missing_packages(name: str) -> tuple[str, ...]:
    """Packages that the target needs and that are not installed. Imports none of them."""
    return tuple(package for package in _TARGETS[name][1] if not _exists(package))


def install_command(name: str) -> str:
    """The command that installs the target's packages."""
    return _TARGETS[name][2]


def available_targets() -> tuple[str, ...]:
    """Targets whose packages and code are installed."""
    return tuple(name for name, (module, _, _) in _TARGETS.items() if not missing_packages(name) and _exists(module))


def load_target(name: str) -> Target:
    """The target. Raises InvalidOption for an unknown name, TargetUnavailable with its install command.

    With nrtpy alone the target neuron is one that opens artifacts, and raises on compiling.
    """
    if name not in _TARGETS:
        raise InvalidOption("target", name, f"one of {', '.join(_TARGETS)}")
    module, _, install = _TARGETS[name]
    missing = missing_packages(name)
    if missing and not _runs_without_them(name):
        reasons = (f"not installed: {', '.join(missing)}", *_find_placeholders(name))
        raise TargetUnavailable(name, "; ".join(reasons), install, available_targets())
    if not _exists(module):
        raise TargetUnavailable(name, "this version does not contain it", "", available_targets())
    target: Target = import_module(module).TARGET
    return target


def toolchain_to_open(target: Target, compiled_with: Mapping[str, Any]) -> Mapping[str, Any]:
    """The toolchain that an artifact, `compiled_with` that one, must equal to be opened here.

    The target's own, unless its runtime needs none of what compiled (`Target.toolchain_to_open`, which is optional).
    Raises TargetUnavailable.
    """
    choose = getattr(target, "toolchain_to_open", None)
    chosen: Mapping[str, Any] = choose(compiled_with) if choose else target.toolchain()
    return chosen


def _runs_without_them(name: str) -> bool:
    """Whether the target runs artifacts here, though packages are missing that compile them."""
    return name == "neuron" and bool(import_module("neuron_whisper.target.neuron.runtimes").is_nrtpy_installed())


def _find_placeholders(name: str) -> tuple[str, ...]:
    """Sentences about packages that only have the name of one that the target needs."""
    if name != "neuron":
        return ()
    found: tuple[str, ...] = import_module("neuron_whisper.target.neuron.sdk").installed_placeholders()
    return found


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
