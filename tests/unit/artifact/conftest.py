"""A store in a directory of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuron_whisper.artifact.store import ArtifactStore


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "cache")
