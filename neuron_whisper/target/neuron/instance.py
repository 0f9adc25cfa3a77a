"""Instance families: the one this machine is of, and what an artifact for one demands of profile and machine."""

from __future__ import annotations

from pathlib import Path

from neuron_whisper.errors import ArtifactIncompatible, ProfileError
from neuron_whisper.profile import CompileProfile

FAMILIES = ("inf2", "trn1", "trn1n", "trn2", "trn3")
# EC2's name of the machine, such as inf2.xlarge
PRODUCT_NAME_FILE = Path("/sys/devices/virtual/dmi/id/product_name")


def instance_family(instance: str) -> str:
    """inf2.xlarge -> inf2"""
    return instance.partition(".")[0]


def detect_instance_family() -> str:
    """The family of this machine; empty when it is none that has NeuronCores."""
    family = instance_family(read_product_name())
    return family if family in FAMILIES else ""


def check_profile(profile: CompileProfile) -> None:
    """Raises ProfileError for what no Neuron artifact can be: an unknown instance, weights of a type of their own."""
    target, weights = profile.target, profile.weights
    if target.instance and instance_family(target.instance) not in FAMILIES:
        allowed = f"a family ({', '.join(FAMILIES)}) or one of its machines, such as inf2.xlarge"
        raise ProfileError("neuron", f"target.instance is {target.instance!r}; allowed: {allowed}")
    if weights.dtype != target.dtype:
        reason = f"weights.dtype is {weights.dtype} and target.dtype {target.dtype}"
        raise ProfileError("neuron", f"{reason}; the neuron target holds weights in target.dtype")


def check_family(instance: str, product: str) -> None:
    """Raises ArtifactIncompatible when what was compiled for `instance` stands on a known machine of another kind."""
    wanted, here = instance_family(instance), instance_family(product)
    if wanted and here in FAMILIES and here != wanted:
        raise ArtifactIncompatible(f"for {instance}", {"instance family": (wanted, here)})


def read_product_name() -> str:
    """EC2's name of this machine, such as inf2.xlarge; what another maker wrote, or empty, elsewhere."""
    try:
        return PRODUCT_NAME_FILE.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
