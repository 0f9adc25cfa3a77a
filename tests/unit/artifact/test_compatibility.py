"""Which artifacts this installation cannot use any more."""

from __future__ import annotations

import msgspec

from neuron_whisper import __version__
from neuron_whisper.artifact.compatibility import explain_outdated, explain_unusable
from tests.support.artifact_samples import TOOLCHAIN, sample_manifest


def test_an_artifact_of_this_graph_code_and_toolchain_is_current() -> None:
    assert explain_outdated(sample_manifest()) == ""


def test_an_artifact_of_other_graph_code_is_outdated_whatever_version_compiled_it() -> None:
    for version in ("0.1.0", "0.2.0", __version__):
        manifest = msgspec.structs.replace(sample_manifest(graph_sources="00"), neuron_whisper=version)
        assert version in explain_outdated(manifest)


def test_an_artifact_of_another_toolchain_is_outdated_and_each_difference_is_named() -> None:
    reason = explain_outdated(sample_manifest(toolchain={"openvino": "2025.4.0"}))
    assert "openvino 2025.4.0" in reason
    assert TOOLCHAIN["openvino"] in reason


def test_an_artifact_of_a_target_that_is_not_installed_is_judged_by_its_graphs_alone() -> None:
    from neuron_whisper.artifact.source_hash import graph_source_files, hash_sources

    sources = hash_sources(graph_source_files("neuron"))
    manifest = sample_manifest(toolchain={"neuronx-cc": "2.0"}, graph_sources=sources)
    assert explain_outdated(msgspec.structs.replace(manifest, target="neuron")) == ""


def test_an_artifact_of_a_target_that_is_not_installed_cannot_be_used_here() -> None:
    from neuron_whisper.artifact.source_hash import graph_source_files, hash_sources

    sources = hash_sources(graph_source_files("neuron"))
    manifest = sample_manifest(toolchain={"neuronx-cc": "2.0"}, graph_sources=sources)
    assert explain_unusable(msgspec.structs.replace(manifest, target="neuron")) == (
        "the target neuron is not installed here"
    )
    assert explain_unusable(sample_manifest()) == ""
    assert explain_unusable(sample_manifest(graph_sources="00")).startswith("it was compiled from other graph code")


def test_an_artifact_of_a_target_that_nobody_knows_cannot_be_used() -> None:
    assert explain_unusable(msgspec.structs.replace(sample_manifest(), target="abacus"))
