"""Neuron SDK releases and what they contain; which release the installed packages are of, and which are refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from neuron_whisper.errors import TargetUnavailable

UNKNOWN = "unknown"  # not installed, or without the metadata that pip writes
PACKAGES = ("torch-neuronx", "neuronx-cc", "neuronx-distributed", "neuronx-distributed-inference")
REQUIRED_PACKAGES = PACKAGES[:3]  # of NxDI nothing is used but its Whisper, by `bench --peer nxdi-whisper`
SIMULATED = "+simulated"  # how the versions of the simulator's packages end

XLA_INSTANCES = ("inf2", "trn1", "trn1n", "trn2", "trn3")


@dataclass(frozen=True, slots=True)
class Release:
    """A release of the SDK. `packages`: how the versions of PACKAGES begin, "" where it has none."""

    name: str
    packages: tuple[str, str, str, str]
    runtime: str  # aws-neuronx-runtime-lib
    driver: str  # aws-neuronx-dkms
    instances: tuple[str, ...] = XLA_INSTANCES  # families that its torch-neuronx 2.9 is listed for

    @property
    def is_supported(self) -> bool:
        return all(self.packages)


# awsdocs-neuron, release-notes/releasecontent of v2.27.1 to v2.33.1 and src/helperscripts/n2-manifest.json, looked up
# 2026-11-27. torch-neuronx's versions are preceded by PyTorch's own: 2.9.0.2.13.26312 is 2.13 for PyTorch 2.9.0. 2.33
# has no neuronx-distributed: those of 2.31 are the last.
RELEASES = (
    Release("2.27", ("2.11", "2.22", "0.16", "0.7"), "2.29", "2.25"),
    Release("2.28", ("2.12", "2.23", "0.17", "0.8"), "2.30", "2.26"),
    Release("2.29", ("2.13", "2.24", "0.18", "0.9"), "2.31", "2.27"),
    Release("2.30", ("2.14", "2.25", "0.19", "0.10"), "2.32", "2.28"),
    Release("2.31", ("2.15", "2.26", "0.19", "0.10"), "2.33", "2.29"),
    Release("2.32", ("", "2.27", "", ""), "2.34", "2.30", ()),
    Release("2.33", ("2.15", "2.28", "0.19", "0.10"), "2.35", "2.31", ("inf2", "trn1", "trn1n")),
)
SUPPORTED_RELEASES = "2.27 to 2.31.1 and 2.33"
TORCH_VERSION_PARTS = 3
FIRST_TORCH_OF_TORCHNEURON = (2, 10)  # release-notes/components/pytorch, 2.29: PyTorch 2.9 is the last with XLA
PLACEHOLDERS = {  # on PyPI
    "torch-neuronx": "1.0",
    "neuronx-cc": "1.0.post1",
    "neuronx-distributed": "0.1",
    "neuronx-distributed-inference": "0.1.0",
    "nrtpy": "0.0.1",
}
INSTALL_COMMAND = (
    'pip install "torch-neuronx==2.9.0.2.15.*" "neuronx-cc==2.26.*" "neuronx-distributed==0.19.*" '
    "--extra-index-url https://pip.repos.neuron.amazonaws.com"
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
    """Required package -> version, without importing any."""
    return {package: installed_version(package) for package in REQUIRED_PACKAGES}


def is_simulated(versions: Mapping[str, str]) -> bool:
    """Whether the packages are those of the simulator, which needs no device."""
    return any(text.endswith(SIMULATED) for text in versions.values())


def installed_placeholders() -> tuple[str, ...]:
    """A sentence for each of PyPI's placeholders that is installed in the place of AWS's package."""
    found = {package: installed_version(package) for package in PLACEHOLDERS}
    return tuple(describe_placeholder(package) for package, text in found.items() if text == PLACEHOLDERS[package])


def detect_sdk(versions: Mapping[str, str]) -> SdkDetection:
    """{"neuronx-cc": "2.24.5133.0", ...} -> releases ("2.29",). Packages of version UNKNOWN are ignored."""
    known = {package: text for package, text in versions.items() if package in PACKAGES and text != UNKNOWN}
    fitting = {package: _matching_releases(package, text) for package, text in known.items()}
    unsupported = tuple(
        _describe_unsupported(package, known[package]) for package, releases in fitting.items() if not releases
    )
    common = [it.name for it in RELEASES if fitting and all(it.name in one for one in fitting.values())]
    mixed = ""
    if not unsupported and fitting and not common:
        each = ", ".join(f"{package} {known[package]} of {' or '.join(fitting[package])}" for package in known)
        mixed = f"packages of different SDKs: {each}"
    return SdkDetection(releases=tuple(common), unsupported=unsupported, mixed_versions=mixed)


def check_sdk(versions: Mapping[str, str]) -> SdkDetection:
    """As detect_sdk. Raises TargetUnavailable, with the supported releases, for packages of others."""
    sdk = detect_sdk(versions)
    if sdk.unsupported:
        reason = "; ".join((*sdk.unsupported, f"Neuron SDK {SUPPORTED_RELEASES} work here, with PyTorch NeuronX"))
        raise TargetUnavailable("neuron", reason, INSTALL_COMMAND)
    return sdk


def describe_unlisted_instance(sdk: SdkDetection, family: str) -> str:
    """A sentence when no release of the packages is for this family of instances; empty where one is, or none known."""
    found = [release for release in RELEASES if release.name in sdk.releases]
    if not found or family not in XLA_INSTANCES or any(family in release.instances for release in found):
        return ""
    fitting = [it.name for it in RELEASES if it.is_supported and family in it.instances]
    return f"SDK {sdk.name} lists no PyTorch NeuronX for {family}; {fitting[0]} to {fitting[-1]} do"


def _matching_releases(package: str, text: str) -> tuple[str, ...]:
    """The supported releases that have this version of the package."""
    if text == PLACEHOLDERS.get(package) or _is_torchneuron(package, text):
        return ()
    begins = [(release, release.packages[PACKAGES.index(package)]) for release in RELEASES if release.is_supported]
    own = _neuron_version_parts(package, text)[:2]
    return tuple(release.name for release, begin in begins if own == parse_version(begin))


def _is_torchneuron(package: str, text: str) -> bool:
    """Whether it is the backend that took over the name torch-neuronx, with PyTorch's own version: 2.14.3.0."""
    return package == "torch-neuronx" and parse_version(text)[:2] >= FIRST_TORCH_OF_TORCHNEURON


def _describe_unsupported(package: str, text: str) -> str:
    if text == PLACEHOLDERS.get(package):
        return describe_placeholder(package)
    if _is_torchneuron(package, text):
        return (
            f"{package} {text} is TorchNeuron (for Trn2 and Trn3, of SDK 2.33 and later), which has the package name "
            "but not the tracing of PyTorch NeuronX (versions 2.9.0.2.*)"
        )
    column, own = PACKAGES.index(package), _neuron_version_parts(package, text)[:2]
    for release in RELEASES:
        if own == parse_version(release.packages[column]):
            return f"{package} {text} is of SDK {release.name}, which has no PyTorch NeuronX"
    first, last = RELEASES[0], RELEASES[-1]
    is_older = own < parse_version(first.packages[column])
    return f"{package} {text} is of an SDK " + (f"before {first.name}" if is_older else f"after {last.name}")


def describe_placeholder(package: str) -> str:
    """A sentence about PyPI's package of that name."""
    return f"{package} {PLACEHOLDERS[package]} is a placeholder on PyPI, not AWS's package of that name"


def parse_version(text: str) -> tuple[int, ...]:
    """ "2.24.5133.0+ab" -> (2, 24, 5133, 0)"""
    return tuple(int(part) for part in text.partition("+")[0].split(".") if part.isdecimal())


def _neuron_version_parts(package: str, text: str) -> tuple[int, ...]:
    """("torch-neuronx", "2.9.0.2.13.26312+8e870898") -> (2, 13, 26312)"""
    return parse_version(text)[TORCH_VERSION_PARTS if package == "torch-neuronx" else 0 :]


def installed_version(package: str) -> str:
    """The version that pip recorded, or UNKNOWN."""
    try:
        return version(package)
    except PackageNotFoundError:
        return UNKNOWN
