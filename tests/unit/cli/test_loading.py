"""What `transcribe` refuses before a model is opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli_runs import Cli


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("a.wav", "--artifact", "x", "--model", "base"), 2, "--model cannot be combined with --artifact"),
        (("a.wav", "--artifact", "x", "--profile", "cpu"), 2, "--profile cannot be combined with --artifact"),
        (("a.wav", "-f", "srt,vtt"), 2, "Several formats need --output-dir"),
        (("a.wav", "-f", "json,verbose_json", "-o", "out"), 2, "both written to <stem>.json"),
        (("a.wav", "-f", "docx"), 2, "format: 'docx' is not allowed"),
        (("-", "-"), 2, "Stdin (-) can be read only once"),
        (("one/talk.wav", "two/talk.mp3", "-o", "out"), 2, "one/talk.wav and two/talk.mp3 would both be written"),
        (("a.wav", "--raw", "s12le"), 2, "--raw: 's12le' is not allowed"),
        (("a.wav", "--language", "klingon"), 2, "language: 'klingon' is not allowed"),
        (("a.wav", "--artifact", "nothing"), 3, "no artifact 'nothing'"),
        ((), 2, "Missing argument"),
    ],
)
def test_what_cannot_be_transcribed_is_refused_before_anything_is_opened(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], code: int, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli("transcribe", *args, "--cache", tmp_path / "cache")
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert list(tmp_path.iterdir()) == []
