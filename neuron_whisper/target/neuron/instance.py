"""Instance families: detects this machine's, and checks that profile and machine fit an artifact's."""

from __future__ import annotations

from pathlib import Path

from neuron_whisper.errors import ArtifactIncompatible, ProfileError
from neuron_whisper.profile import CompileProfile

FAMILIES = ("inf2", "trn1", "trn1n", "trn2", "trn3")
# EC2 writes the instance type, such as inf2.xlarge
PRODUCT_NAME_FILE = Path("/sys/devices/virtual/dmi/id/product_name")


def instance_family(instance: str) -> str:
    """inf2.xlarge -> inf2"""
    return instance.partition(".")[0]


def detect_instance_family() -> str:
    """The family of this machine; empty when it has no NeuronCores."""
    family = instance_family(read_product_name())
    return family if family in FAMILIES else ""


def check_profile(profile: CompileProfile) -> None:
    """Raises ProfileError for an unknown instance, and for weights of another type than activations."""
    target, weights = profile.target, profile.weights
    if target.instance and instance_family(target.instance) not in FAMILIES:
        allowed = f"a family ({', '.join(FAMILIES)}) or an instance of one, such as inf2.xlarge"
        raise ProfileError("neuron", f"target.instance is {target.instance!r}; allowed: {allowed}")
    if weights.dtype != target.dtype:
        reason = f"weights.dtype is {weights.dtype} and target.dtype {target.dtype}"
        raise ProfileError("neuron", f"{reason}; the neuron target holds weights in target.dtype")


def check_family(instance: str, product: str) -> None:
    """Raises ArtifactIncompatible when this machine is known to be of another family than `instance`."""
    compiled_for, here = instance_family(instance), instance_family(product)
    if compiled_for and here in FAMILIES and here != compiled_for:
        raise ArtifactIncompatible(f"for {instance}", {"instance family": (compiled_for, here)})


def read_product_name() -> str:
    """The instance type, such as inf2.xlarge; elsewhere the maker's product name, or empty."""
    try:
        return PRODUCT_NAME_FILE.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
