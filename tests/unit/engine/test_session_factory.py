"""ArtifactSessionFactory: it crosses to another process, and what cannot be opened is an error of the tree."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from neuron_whisper.artifact.loader import Artifact
from neuron_whisper.engine.session_factory import TOKENIZER_FILE, ArtifactSessionFactory, open_session
from neuron_whisper.errors import ArtifactError, CheckpointError, TargetUnavailable
from neuron_whisper.target.interfaces import Target
from tests.support.fake_session import FakeSession
from tests.support.tiny_program import spec


@dataclass(frozen=True)
class OpenedPath:
    """The part of Artifact that opening uses."""

    path: Path
    spec: Any
    profile: None = None


class FakeTarget:
    """Opens the same session, or raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self.session, self._error, self.closed = FakeSession(spec()), error, 0
        self.session.close = self._close  # type: ignore[method-assign]

    def _close(self) -> None:
        self.closed += 1

    def open(self, *_: object, threads: int) -> FakeSession:
        if self._error is not None:
            raise self._error
        return self.session


def open_with(target: FakeTarget, path: Path) -> Any:
    return open_session(cast(Target, target), cast(Artifact, OpenedPath(path, spec())), threads=1)


def test_a_factory_arrives_in_another_process_as_it_was(tmp_path: Path) -> None:
    factory = ArtifactSessionFactory(path=tmp_path, verify=True)
    assert pickle.loads(pickle.dumps(factory)) == factory


def test_a_directory_that_is_no_artifact_is_an_artifact_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError):
        ArtifactSessionFactory(path=tmp_path).open(threads=1)


def test_a_session_is_closed_when_its_tokenizer_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / TOKENIZER_FILE).write_text("{}")
    target = FakeTarget()
    with pytest.raises(CheckpointError):
        open_with(target, tmp_path)
    assert target.closed == 1


def test_a_target_that_is_not_available_is_the_error_whatever_the_tokenizer(tmp_path: Path) -> None:
    target = FakeTarget(TargetUnavailable("cpu", "no device"))
    with pytest.raises(TargetUnavailable):
        open_with(target, tmp_path)
    assert target.closed == 0
