"""Artifacts as versions 0.1.0 and 0.2.0 wrote them: their manifests' fields, and a spec and profile of their time."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec

from neuron_whisper.artifact.store import ArtifactStore
from tests.support.artifact_samples import FILES, PROFILE, SPEC

# what git holds of both versions: neither manifest has profile_name; 0.1.0's spec has no audio_contexts
SPEC_FIELDS_AFTER_0_1_0 = ("audio_contexts",)


def write_earlier_artifact(
    store: ArtifactStore,
    version: str,
    *,
    model: str = "base",
    created: str = "2026-11-21T12:00:00+00:00",
    profile_changes: dict[str, Any] | None = None,
) -> Path:
    """Write a whole artifact into the store, as `version` did with the packaged profile or one with changed tables."""
    profile = PROFILE.to_canonical() | (profile_changes or {})
    spec: dict[str, Any] = msgspec.to_builtins(SPEC)
    if version.startswith("0.1."):
        spec = {name: value for name, value in spec.items() if name not in SPEC_FIELDS_AFTER_0_1_0}
    facts = {
        "format": 1,
        "graph_sources": hashlib.sha256(version.encode()).hexdigest(),
        "checkpoint": {"model.bin": "00"},
        "profile": profile,
        "toolchain": {"openvino": "2026.4.0"},
    }
    key = hashlib.sha256(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    name = f"{model}-cpu-tp1-{key[:16]}"
    store.directory.create()
    path = store.directory.artifacts / name
    for relative, content in FILES.items():
        file = path / relative
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.write_bytes(content)
        file.chmod(0o644)
    for directory in (path, *(child for child in path.iterdir() if child.is_dir())):
        directory.chmod(0o755)
    manifest: dict[str, Any] = {
        "format": 1,
        "name": name,
        "key": key,
        "model": model,
        "target": "cpu",
        "tp": 1,
        "created": created,
        "neuron_whisper": version,
        "facts": facts,
        "spec": spec,
        "profile": profile,
        "files": {
            relative: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for relative, content in FILES.items()
        },
        "seal": "",
    }
    seal = hashlib.sha256(msgspec.json.encode(manifest, order="sorted")).hexdigest()
    text = msgspec.json.format(msgspec.json.encode({**manifest, "seal": seal}, order="sorted"), indent=2)
    (path / "manifest.json").write_bytes(text + b"\n")
    (path / "manifest.json").chmod(0o644)
    return path
