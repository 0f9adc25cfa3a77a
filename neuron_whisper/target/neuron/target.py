"""NeuronTarget: compiles for AWS Inferentia2 and Trainium with the Neuron SDK, and opens the result on a device."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from neuron_whisper.host.hardware import ROOT
from neuron_whisper.profile import CompileProfile
from neuron_whisper.target.interfaces import CompileRequest, ProgramSpec
from neuron_whisper.target.neuron.compatibility import find_incompatibilities
from neuron_whisper.target.neuron.instance import check_family, check_profile, instance_family, read_product_name
from neuron_whisper.target.neuron.sdk import check_sdk, describe_unlisted_instance, installed_versions

if TYPE_CHECKING:
    from neuron_whisper.target.neuron.runtime.session import NeuronSession

log = logging.getLogger(__name__)


class NeuronTarget:
    """AWS Inferentia2 and Trainium. Compiling needs the SDK and no device; opening needs a device."""

    name = "neuron"

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root  # of the files that tell the driver and the runtime library

    def toolchain(self) -> Mapping[str, str]:
        """Versions of the SDK's packages. The instance family is in the profile, which is a fact of its own.

        Raises TargetUnavailable for an SDK that this target does not work with.
        """
        versions = installed_versions()
        check_sdk(versions)
        return versions

    def decoder_copies(self, spec: ProgramSpec) -> int:
        return 1  # all graphs of the bundle share one set of weights

    def self_kv_rows(self, spec: ProgramSpec) -> int:
        return spec.beams

    def compile(self, request: CompileRequest) -> None:
        """Raises ProfileError, TargetUnavailable (an unsupported SDK), LoweringFailed, CompilerKilled."""
        from neuron_whisper.target.neuron.lowering.lowering import lower

        check_profile(request.profile)
        self._warn_of_versions(request.profile)
        lower(request)

    def open(self, directory: Path, spec: ProgramSpec, profile: CompileProfile, *, threads: int = 0) -> NeuronSession:
        """`threads` is ignored: the graphs run on the device.

        Raises ArtifactIncompatible on a machine of another family, TargetUnavailable for an unsupported SDK,
        DeviceError when the runtime cannot load.
        """
        from neuron_whisper.target.neuron.runtime.session import NeuronSession

        check_family(profile.target.instance, read_product_name())
        self._warn_of_versions(profile)
        return NeuronSession.load(directory, spec, profile)

    def _warn_of_versions(self, profile: CompileProfile) -> None:
        """Log what is known to fail, or may: it is said before NxD or the runtime fail in their own words."""
        sdk = check_sdk(installed_versions())
        unlisted = describe_unlisted_instance(sdk, instance_family(profile.target.instance))
        for sentence in filter(None, (sdk.mixed_versions, unlisted)):
            log.warning("%s; run `neuron-whisper doctor` for the versions to install", sentence)
        for incompatibility in find_incompatibilities(self._root):
            log.warning("%s", incompatibility)


TARGET = NeuronTarget()
