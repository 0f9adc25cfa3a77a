"""Detects which Neuron SDK releases the installed packages belong to, and refuses unsupported ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from neuron_whisper.errors import TargetUnavailable

UNKNOWN = "unknown"  # not installed, or without the metadata that pip writes
PACKAGES = ("torch-neuronx", "neuronx-cc", "neuronx-distributed", "neuronx-distributed-inference")
# Release -> the first two parts of its packages' versions (awsdocs-neuron, release-notes: release content, component
# versions). torch-neuronx's are preceded by PyTorch's own: 2.9.0.2.13.26312 is 2.13 for PyTorch 2.9.0.
RELEASES: Mapping[str, tuple[str, str, str, str]] = {
    "2.27": ("2.11", "2.22", "0.16", "0.7"),
    "2.28": ("2.12", "2.23", "0.17", "0.8"),
    "2.29": ("2.13", "2.24", "0.18", "0.9"),
    "2.30": ("2.14", "2.25", "0.19", "0.10"),
    "2.31": ("2.15", "2.26", "0.19", "0.10"),
}
SUPPORTED_RELEASES = "2.27 to 2.31.1"
TORCH_VERSION_PARTS = 3
INSTALL_COMMAND = (
    'pip install "torch-neuronx==2.9.0.2.15.*" "neuronx-cc==2.26.*" "neuronx-distributed==0.19.*" '
    '"neuronx-distributed-inference==0.10.*" --extra-index-url https://pip.repos.neuron.amazonaws.com'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SdkDetection:
    """The SDK of a set of packages. `releases`: those that every known package fits, none when they differ.

    `unsupported` (a sentence per package) and `mixed_versions` (one sentence) are for the user: unsupported packages
    are refused, mixed ones may work.
    """

    releases: tuple[str, ...]
    unsupported: tuple[str, ...] = ()
    mixed_versions: str = ""

    @property
    def name(self) -> str:
        """ "2.29", or "2.30 or 2.31" where the packages fit both; empty when none is known."""
        return " or ".join(self.releases)


def installed_versions() -> dict[str, str]:
    """Package -> version, without importing any."""
    return {package: _installed_version(package) for package in PACKAGES}


def detect_sdk(versions: Mapping[str, str]) -> SdkDetection:
    """{"neuronx-cc": "2.24.5133.0", ...} -> releases ("2.29",). Packages of version UNKNOWN are ignored."""
    known = {package: text for package, text in versions.items() if package in PACKAGES and text != UNKNOWN}
    fitting = {package: _matching_releases(package, text) for package, text in known.items()}
    unsupported = tuple(
        f"{package} {known[package]} is of an SDK {_describe_position(package, known[package])}"
        for package, releases in fitting.items()
        if not releases
    )
    common = [release for release in RELEASES if fitting and all(release in one for one in fitting.values())]
    mixed = ""
    if not unsupported and fitting and not common:
        each = ", ".join(f"{package} {known[package]} of {' or '.join(fitting[package])}" for package in known)
        mixed = f"packages of different SDKs: {each}"
    return SdkDetection(releases=tuple(common), unsupported=unsupported, mixed_versions=mixed)


def check_sdk(versions: Mapping[str, str]) -> SdkDetection:
    """As detect_sdk. Raises TargetUnavailable, with the supported range, for packages outside of it."""
    sdk = detect_sdk(versions)
    if sdk.unsupported:
        supported = f"Neuron SDK {SUPPORTED_RELEASES} works here (2.32 and later have no torch-neuronx)"
        reason = "; ".join((*sdk.unsupported, supported))
        raise TargetUnavailable("neuron", reason, INSTALL_COMMAND)
    return sdk


def _matching_releases(package: str, text: str) -> tuple[str, ...]:
    column, own = PACKAGES.index(package), _neuron_version_parts(package, text)
    return tuple(
        release for release, begins in RELEASES.items() if own[:2] == tuple(map(int, begins[column].split(".")))
    )


def _neuron_version_parts(package: str, text: str) -> tuple[int, ...]:
    """("torch-neuronx", "2.9.0.2.13.26312+8e870898") -> (2, 13, 26312)"""
    parts = [int(part) for part in text.partition("+")[0].split(".") if part.isdecimal()]
    return tuple(parts[TORCH_VERSION_PARTS:] if package == "torch-neuronx" else parts)


def _describe_position(package: str, text: str) -> str:
    begins = [release[PACKAGES.index(package)] for release in RELEASES.values()]
    first = tuple(map(int, begins[0].split(".")))
    return (
        f"before {next(iter(RELEASES))}"
        if _neuron_version_parts(package, text)[:2] < first
        else f"after {list(RELEASES)[-1]}"
    )


def _installed_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return UNKNOWN
