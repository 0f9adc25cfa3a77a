"""NeuronTarget: compiles for AWS Inferentia2 and Trainium with the Neuron SDK, and opens the result on a device."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from neuron_whisper.host.hardware import ROOT
from neuron_whisper.profile import CompileProfile
from neuron_whisper.target.interfaces import CompileRequest, ProgramSpec
from neuron_whisper.target.neuron.compatibility import find_incompatibilities
from neuron_whisper.target.neuron.instance import check_family, check_profile, instance_family, read_product_name
from neuron_whisper.target.neuron.runtime.core_allocation import reserve_cores
from neuron_whisper.target.neuron.runtimes import check_compile_packages, choose_runtime, describe_nrtpy_risks
from neuron_whisper.target.neuron.sdk import check_sdk, describe_unlisted_instance, installed_versions

if TYPE_CHECKING:
    from neuron_whisper.target.neuron.runtime.session import GraphRunner, NeuronSession

log = logging.getLogger(__name__)


class NeuronTarget:
    """AWS Inferentia2 and Trainium. Compiling needs the SDK and no device; opening needs a device."""

    name = "neuron"

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root  # of the files that tell the driver and the runtime library

    def toolchain(self) -> Mapping[str, str]:
        """Versions of the SDK's packages. The instance family is in the profile, which is a fact of its own.

        Raises TargetUnavailable for an SDK that this target does not work with, and where only nrtpy is installed.
        """
        check_compile_packages()
        versions = installed_versions()
        check_sdk(versions)
        return versions

    def toolchain_to_open(self, compiled_with: Mapping[str, str]) -> Mapping[str, str]:
        """As toolchain. nrtpy loads NEFFs whatever compiled them: then what they were `compiled_with`.

        Raises TargetUnavailable.
        """
        return compiled_with if choose_runtime(root=self._root) == "nrtpy" else self.toolchain()

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

        Raises ArtifactIncompatible on a machine of another family, and for nrtpy when there are no NEFFs,
        TargetUnavailable for an unsupported SDK, DeviceError when the runtime cannot load.
        """
        from neuron_whisper.target.neuron.runtime.session import NeuronSession

        check_family(profile.target.instance, read_product_name())
        session = NeuronSession(spec, self._load_graphs(directory, profile))
        session.warm_up()
        return session

    def _load_graphs(self, directory: Path, profile: CompileProfile) -> GraphRunner:
        """By the chosen runtime. What imports torch is imported for PyTorch NeuronX alone."""
        if choose_runtime(root=self._root) == "nrtpy":
            from neuron_whisper.target.neuron.runtime.nrtpy_graphs import NrtpyGraphs

            for sentence in (*describe_nrtpy_risks(self._root), *find_incompatibilities(self._root)):
                log.warning("%s", sentence)
            return NrtpyGraphs.load(directory, profile.target.tp, reserve_cores(os.environ, profile.target.tp))
        self._warn_of_versions(profile)
        from neuron_whisper.target.neuron.runtime.torch_bundle import TorchBundle

        return TorchBundle.load(directory, profile.target, reserve_cores(os.environ, profile.target.tp))

    def _warn_of_versions(self, profile: CompileProfile) -> None:
        """Log what is known to fail, or may: it is said before NxD or the runtime fail in their own words."""
        sdk = check_sdk(installed_versions())
        unlisted = describe_unlisted_instance(sdk, instance_family(profile.target.instance))
        for sentence in filter(None, (sdk.mixed_versions, unlisted)):
            log.warning("%s; run `neuron-whisper doctor` for the versions to install", sentence)
        for incompatibility in find_incompatibilities(self._root):
            log.warning("%s", incompatibility)


TARGET = NeuronTarget()
