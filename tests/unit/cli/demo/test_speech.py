"""Which recording a demo takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuron_whisper.cli.context import CliContext
from neuron_whisper.cli.demo.speech import SAMPLES, find_recording, language_of


def test_the_given_recording_is_taken(tmp_path: Path) -> None:
    recording = find_recording(CliContext(cache=tmp_path), tmp_path / "talk.mp3", "ja")
    assert (recording.path, recording.origin) == (tmp_path / "talk.mp3", str(tmp_path / "talk.mp3"))


@pytest.mark.parametrize("language", sorted(SAMPLES))
def test_a_recording_beside_the_repository_comes_before_that_of_a_package(language: str, tmp_path: Path) -> None:
    sample = SAMPLES[language]
    here = tmp_path / sample.beside
    here.parent.mkdir(parents=True)
    here.touch()
    found = find_recording(CliContext(cache=tmp_path / "cache"), None, language, root=tmp_path)
    assert found.path == here
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("language", sorted(SAMPLES))
def test_one_that_was_fetched_from_a_package_is_found_again(language: str, tmp_path: Path) -> None:
    sample = SAMPLES[language]
    [file] = sample.package.files
    fetched = tmp_path / "models" / ("demo-speech" if language == "en" else f"demo-speech-{language}")
    fetched.mkdir(parents=True)
    (fetched / file.name).write_bytes(bytes(file.size_bytes))
    tmp_path.chmod(0o700)
    found = find_recording(CliContext(cache=tmp_path, quiet=True), None, language, root=tmp_path / "nowhere")
    assert found.path == fetched / sample.name
    assert sample.package.wheels[0].package in found.origin


@pytest.mark.parametrize(
    ("model", "language"),
    [
        ("tiny.en", "en"),
        ("large-v3", "en"),
        ("kotoba-v2.2", "ja"),
        ("kotoba-tech/kotoba-whisper-v2.2", "ja"),
        ("distil-large-v3", "en"),
        ("/models/own", "en"),
    ],
)
def test_a_model_for_one_language_hears_that_language(model: str, language: str) -> None:
    assert language_of(model) == language
