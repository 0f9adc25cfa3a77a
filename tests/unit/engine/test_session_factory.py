"""ArtifactSessionFactory: it crosses to another process, and what cannot be opened is an error of the tree."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from neuron_whisper.artifact.loader import Artifact
from neuron_whisper.artifact.store import ArtifactStore
from neuron_whisper.engine.session_factory import (
    TOKENIZER_FILE,
    ArtifactSessionFactory,
    open_checked_session,
    open_session,
)
from neuron_whisper.errors import ArtifactCorrupt, ArtifactError, CheckpointError, TargetUnavailable
from neuron_whisper.target.interfaces import Target
from neuron_whisper.text.tokenizer import Tokenizer
from tests.support.artifact_damage import flip_weights_byte
from tests.support.artifact_samples import FILES, TOOLCHAIN, flip_byte, publish_sample
from tests.support.fake_session import FakeSession
from tests.support.replicas import tokenizer
from tests.support.tiny_program import spec


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "cache")


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

    def toolchain(self) -> Mapping[str, str]:
        return TOOLCHAIN

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


def test_a_sound_artifact_is_opened_and_its_session_stays_open(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tokenizer, "from_layout", lambda *_: tokenizer())
    target = FakeTarget()
    session, _ = open_checked_session(cast(Target, target), publish_sample(store), threads=1)
    assert session is target.session
    assert target.closed == 0


@pytest.mark.parametrize("offset", range(0, len(FILES["weights/tp0.safetensors"]), 311))
def test_no_session_is_returned_on_weights_with_one_bit_changed_and_it_is_closed(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch, offset: int
) -> None:
    monkeypatch.setattr(Tokenizer, "from_layout", lambda *_: tokenizer())
    artifact, target = publish_sample(store), FakeTarget()
    flip_byte(artifact.path / "weights/tp0.safetensors", offset)
    with pytest.raises(ArtifactCorrupt, match=r"tp0\.safetensors: expected sha256"):
        open_checked_session(cast(Target, target), artifact, threads=1)
    assert target.closed == 1


def test_what_a_target_says_of_damaged_weights_gives_way_to_their_digest(store: ArtifactStore) -> None:
    artifact = publish_sample(store)
    flip_weights_byte(artifact.path)
    with pytest.raises(ArtifactCorrupt, match="expected sha256"):
        open_checked_session(cast(Target, FakeTarget(TargetUnavailable("cpu", "cannot load"))), artifact, threads=1)


def test_a_damaged_program_never_reaches_the_target(store: ArtifactStore) -> None:
    artifact, target = publish_sample(store), FakeTarget(AssertionError("opened"))
    flip_byte(artifact.path / "graphs/decode.xml", 3)
    with pytest.raises(ArtifactCorrupt, match=r"decode\.xml"):
        open_checked_session(cast(Target, target), artifact, threads=1)
