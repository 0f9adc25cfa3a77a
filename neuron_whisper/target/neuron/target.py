"""The Neuron target: what the artifact key must know of the SDK, compile, and open."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from neuron_whisper.errors import ArtifactIncompatible
from neuron_whisper.profile import CompileProfile
from neuron_whisper.target.contract import ProgramSpec, Progress

if TYPE_CHECKING:
    from neuron_whisper.model.checkpoint import Checkpoint
    from neuron_whisper.target.neuron.session import NeuronSession

SDK_PACKAGES = ("torch-neuronx", "neuronx-cc", "neuronx-distributed", "neuronx-distributed-inference")
FAMILIES = ("inf2", "trn1", "trn1n", "trn2", "trn3")
UNKNOWN = "unknown"
# EC2's name of the machine, such as inf2.xlarge
PRODUCT_NAME = Path("/sys/devices/virtual/dmi/id/product_name")


class NeuronTarget:
    """AWS Inferentia2 and Trainium. Compiling needs the SDK and no device; opening needs a device."""

    name = "neuron"

    def toolchain(self) -> Mapping[str, str]:
        """Versions of the SDK's packages. The instance family is in the profile, which is a fact of its own."""
        return {package: _version(package) for package in SDK_PACKAGES}

    def decoder_copies(self, spec: ProgramSpec) -> int:
        return 1  # all graphs of the bundle share one set of weights

    def compile(
        self, spec: ProgramSpec, profile: CompileProfile, checkpoint: Checkpoint, into: Path, progress: Progress
    ) -> None:
        from neuron_whisper.target.neuron.lowering import lower

        lower(spec, profile, checkpoint, into, progress)

    def open(
        self, directory: Path, spec: ProgramSpec, profile: CompileProfile, *, threads: int = 0
    ) -> NeuronSession:
        """`threads` says nothing here: the graphs run on the device.

        Raises ArtifactIncompatible on a machine of another family, DeviceFault when the runtime cannot load.
        """
        from neuron_whisper.target.neuron.session import NeuronSession

        check_family(profile.target.instance, _product())
        return NeuronSession.load(directory, spec, profile)


def check_family(instance: str, product: str) -> None:
    """Raises ArtifactIncompatible when what was compiled for `instance` stands on a known machine of another kind."""
    wanted, here = instance.partition(".")[0], product.partition(".")[0]
    if wanted and here in FAMILIES and here != wanted:
        raise ArtifactIncompatible(f"for {instance}", {"instance family": (wanted, here)})


def _product() -> str:
    try:
        return PRODUCT_NAME.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return UNKNOWN


TARGET = NeuronTarget()
