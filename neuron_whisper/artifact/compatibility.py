"""Which artifacts are outdated: compiled from other graph code, or by another toolchain, than this version's."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from neuron_whisper.artifact.key import explain_difference
from neuron_whisper.artifact.manifest import Manifest
from neuron_whisper.artifact.source_hash import graph_source_files, hash_sources
from neuron_whisper.errors import InvalidOption, TargetUnavailable
from neuron_whisper.target.registry import load_target, toolchain_to_open


def explain_outdated(manifest: Manifest) -> str:
    """Why no build of this installation gives this artifact, and it cannot be opened; "" for one that is current.

    The toolchain is not compared where the target is not installed: an artifact may be stored on a machine that only
    passes it on.
    """
    if manifest.facts.get("graph_sources") != _hash_graph_sources(manifest.target):
        return f"it was compiled from other graph code, that of neuron-whisper {manifest.neuron_whisper}"
    toolchain = _find_toolchain(manifest)
    if toolchain is None:
        return ""
    differences = explain_difference(manifest.toolchain, toolchain)
    return "; ".join(f"it was compiled with {fact} {stored}, here is {here}" for fact, stored, here in differences)


def explain_unusable(manifest: Manifest) -> str:
    """As explain_outdated, and also why an artifact for a target that is not installed cannot be used here."""
    if reason := explain_outdated(manifest):
        return reason
    if _find_toolchain(manifest) is None:
        return f"the target {manifest.target} is not installed here"
    return ""


@cache
def _hash_graph_sources(target: str) -> str:
    return hash_sources(graph_source_files(target))


def _find_toolchain(manifest: Manifest) -> Mapping[str, Any] | None:
    """The installed toolchain that opens the artifact, None where its target is not installed or not known."""
    try:
        return toolchain_to_open(load_target(manifest.target), manifest.toolchain)
    except (TargetUnavailable, InvalidOption):
        return None
