"""ArtifactSessionFactory: it crosses to another process, and what cannot be opened is an error of the tree."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from neuron_whisper.engine.session_factory import ArtifactSessionFactory
from neuron_whisper.errors import ArtifactError


def test_a_factory_arrives_in_another_process_as_it_was(tmp_path: Path) -> None:
    factory = ArtifactSessionFactory(path=tmp_path, verify=True)
    assert pickle.loads(pickle.dumps(factory)) == factory


def test_a_directory_that_is_no_artifact_is_an_artifact_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError):
        ArtifactSessionFactory(path=tmp_path).open(threads=1)
