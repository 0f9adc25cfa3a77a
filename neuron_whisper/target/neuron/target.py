"""NeuronTarget: compiles for AWS Inferentia2 and Trainium with the Neuron SDK, and opens the result on a device."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from neuron_whisper.profile import CompileProfile
from neuron_whisper.target.interfaces import CompileRequest, ProgramSpec
from neuron_whisper.target.neuron.instance import check_family, check_profile, read_product_name
from neuron_whisper.target.neuron.sdk import check_sdk, installed_versions

if TYPE_CHECKING:
    from neuron_whisper.target.neuron.runtime.session import NeuronSession

log = logging.getLogger(__name__)


class NeuronTarget:
    """AWS Inferentia2 and Trainium. Compiling needs the SDK and no device; opening needs a device."""

    name = "neuron"

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
        self._warn_if_mixed_sdks()
        lower(request)

    def open(self, directory: Path, spec: ProgramSpec, profile: CompileProfile, *, threads: int = 0) -> NeuronSession:
        """`threads` is ignored: the graphs run on the device.

        Raises ArtifactIncompatible on a machine of another family, TargetUnavailable for an unsupported SDK,
        DeviceError when the runtime cannot load.
        """
        from neuron_whisper.target.neuron.runtime.session import NeuronSession

        check_family(profile.target.instance, read_product_name())
        self._warn_if_mixed_sdks()
        return NeuronSession.load(directory, spec, profile)

    def _warn_if_mixed_sdks(self) -> None:
        if mixed := check_sdk(installed_versions()).mixed_versions:
            log.warning("%s; run `neuron-whisper doctor` for the versions to install", mixed)


TARGET = NeuronTarget()
