"""`python -m benchmarks.checks texts` on a small model: what it keeps, and how it ends when a text changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.checks.__main__ import main
from benchmarks.checks.texts import read_texts
from tests.support.manifests import write_speech


@pytest.fixture
def keep_texts(tmp_path: Path, tiny_checkpoint: Path, tiny_profile: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Arguments that transcribe two recordings of noise and keep their texts in after.json."""
    monkeypatch.setenv("NEURON_WHISPER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    write_speech(tmp_path)
    table = tmp_path / "speech.csv"
    table.write_text("file,lang,transcript\na.wav,en,one\nb.wav,de,zwei\n")
    flags = ["--model", str(tiny_checkpoint), "--profile", str(tiny_profile), "--json", str(tmp_path / "after.json")]
    return ["texts", str(table), *flags]


def test_texts_are_kept_and_a_changed_one_is_listed_and_fails_where_asked(
    keep_texts: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(keep_texts) == 0
    kept = read_texts(tmp_path / "after.json")
    assert [(it.file, it.long_form, it.word_timestamps) for it in kept.texts] == [
        ("a.wav", long_form, words)  # b.wav is German, the model English-only
        for long_form in ("sequential", "batched")
        for words in (False, True)
    ]
    assert [it.error is None for it in kept.texts] == [True, False] * 2  # compiled without word times

    before = tmp_path / "before.json"
    content = json.loads((tmp_path / "after.json").read_text())
    content["texts"][0]["text"] = "Another text"
    before.write_text(json.dumps(content))
    capsys.readouterr()
    assert main([*keep_texts, "--before", str(before), "--fail-on-change"]) == 1
    out = capsys.readouterr().out
    assert "4 texts compared: 3 equal, 1 changed." in out
    assert "- Another text" in out.splitlines()


def test_a_python_without_the_package_is_an_error(
    keep_texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 3\n")
    python.chmod(0o755)
    assert main([*keep_texts, "--python", str(python)]) == 1
    assert f"{str(python)!r}" in (error := capsys.readouterr().err)
    assert "it ended with 3" in error
    assert not (tmp_path / "after.json").exists()
