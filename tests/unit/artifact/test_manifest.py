"""Manifests: sealed, and refused when they are not what was written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper import __version__
from neuron_whisper.artifact.loader import Artifact
from neuron_whisper.artifact.manifest import (
    FileEntry,
    decode_manifest,
    encode_manifest,
    is_later_version,
    spec_from_data,
)
from neuron_whisper.artifact.store import ArtifactStore
from neuron_whisper.errors import (
    ArtifactCorrupt,
    ArtifactIncompatible,
    InvalidOption,
)
from neuron_whisper.profile import load_profile
from tests.support.artifact_samples import (
    PROFILE,
    SPEC,
    publish_sample,
    sample_manifest,
)


def test_a_manifest_gives_back_spec_and_profile(store: ArtifactStore) -> None:
    artifact = publish_sample(store)
    assert artifact.spec == SPEC
    assert artifact.profile == PROFILE
    assert artifact.manifest.files["graphs/decode.xml"].size == 6
    assert artifact.size_bytes == 3 + 6 + 1280


def test_a_manifest_without_a_profile_name_has_that_of_the_packaged_profile_with_its_settings() -> None:
    packaged = load_profile("cpu-fast")
    manifest = msgspec.structs.replace(sample_manifest(), profile=packaged.to_canonical())
    assert Artifact(path=Path(), manifest=manifest).profile_name == "cpu-fast"
    changed = load_profile("cpu-fast", {"shapes.slots": 3})
    manifest = msgspec.structs.replace(manifest, profile=changed.to_canonical())
    assert Artifact(path=Path(), manifest=manifest).profile_name is None


def test_a_manifest_without_a_profile_name_is_written_as_it_was_before_there_were_names() -> None:
    content = encode_manifest(sample_manifest())
    assert b"profile_name" not in content
    assert decode_manifest(content, "manifest.json").profile_name is msgspec.UNSET
    named = encode_manifest(msgspec.structs.replace(sample_manifest(), profile_name="mine"))
    assert decode_manifest(named, "manifest.json").profile_name == "mine"


@given(data=st.data())
def test_any_changed_byte_of_a_manifest_is_found(data: st.DataObject) -> None:
    content = bytearray(encode_manifest(sample_manifest()))
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises((ArtifactCorrupt, ArtifactIncompatible)):
        decode_manifest(bytes(content), "manifest.json")


def test_a_manifest_that_was_edited_is_distinguished_from_one_that_is_broken() -> None:
    content = encode_manifest(sample_manifest()).replace(b'"slots": 2', b'"slots": 3')
    with pytest.raises(ArtifactCorrupt, match=r"m\.json: expected seal [0-9a-f]{64}, found seal [0-9a-f]{64}"):
        decode_manifest(content, "m.json")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"{}", b"\xff", b"[" * 100_000, b'{"format": 1}'])
def test_content_that_is_no_manifest_is_corrupt(content: bytes) -> None:
    with pytest.raises(ArtifactCorrupt, match="expected a manifest"):
        decode_manifest(content, "manifest.json")


def test_a_manifest_of_another_format_is_incompatible_not_corrupt() -> None:
    with pytest.raises(ArtifactIncompatible, match="format: stored 2, here 1"):
        decode_manifest(b'{"format": 2, "name": "later"}', "manifest.json")


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a//b",
        "./a",
        "a/",
        "",
        "manifest.json",
        "manifest.json/a",
        "a\\b",
        "a\nb",
        "a\x00b",
        "x" * 101,
    ],
)
def test_a_manifest_lists_plain_relative_paths_only(path: str) -> None:
    entry = FileEntry(size=0, sha256="0" * 64)
    with pytest.raises(InvalidOption, match="files"):
        encode_manifest(msgspec.structs.replace(sample_manifest(), files={path: entry}))


def test_a_manifest_lists_no_file_below_a_file() -> None:
    entry = FileEntry(size=0, sha256="0" * 64)
    with pytest.raises(InvalidOption, match="'a/b'"):
        encode_manifest(msgspec.structs.replace(sample_manifest(), files={"a/b/c": entry, "a/b": entry}))


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("key", "0" * 64, "key"),
        ("name", "base-cpu-tp2-0000000000000000", "name"),
        ("tp", 2, "name"),
        ("target", "neuron", "name"),
        ("created", "yesterday", "created"),
        ("created", "2026-07-01T12:00:00", "created"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_not_written(field: str, value: object, named: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        encode_manifest(msgspec.structs.replace(sample_manifest(), **{field: value}))
    assert caught.value.field == named


@pytest.mark.parametrize("change", [{"slots": 0}, {"slots": "2"}, {"surplus": 1}, {"dims": {}}])
def test_a_spec_that_is_none_is_corrupt(change: dict[str, Any]) -> None:
    with pytest.raises(ArtifactCorrupt, match="spec of a program"):
        spec_from_data({**sample_manifest().spec, **change})


@pytest.mark.parametrize(
    ("version", "is_later"),
    [
        ("0.1.0", False),
        (__version__, False),
        ("99.0.0", True),
        ("0.10.0", True),
        ("99", True),
        ("", False),
        ("x", False),
    ],
)
def test_versions_are_compared_by_their_numbers(version: str, is_later: bool) -> None:
    assert is_later_version(version) is is_later


def test_a_manifest_with_fields_of_a_later_version_is_incompatible_and_not_damaged() -> None:
    content = json.loads(encode_manifest(sample_manifest())) | {"neuron_whisper": "99.0.0", "new_field": 1}
    with pytest.raises(ArtifactIncompatible) as refused:
        decode_manifest(json.dumps(content).encode(), "manifest.json")
    assert refused.value.differences == {"neuron_whisper": ("99.0.0", __version__)}
    with pytest.raises(ArtifactCorrupt):
        decode_manifest(json.dumps(content | {"neuron_whisper": "0.2.0"}).encode(), "manifest.json")
