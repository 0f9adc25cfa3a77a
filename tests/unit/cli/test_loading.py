"""What `transcribe` refuses before a model is opened."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import rich_click as click
from click.testing import CliRunner

from neuron_whisper.cli.context import CliContext
from neuron_whisper.cli.loading import ModelSelection, model_options, resolve_artifact
from tests.support.artifact_samples import publish_sample
from tests.support.cli_runs import Cli


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("a.wav", "--artifact", "x", "--model", "base"), 2, "--model cannot be combined with --artifact"),
        (("a.wav", "-f", "srt,vtt"), 2, "Several formats need --output-dir"),
        (("a.wav", "-f", "json,verbose_json", "-o", "out"), 2, "both written to <stem>.json"),
        (("a.wav", "-f", "docx"), 2, "format: 'docx' is not allowed"),
        (("-", "-"), 2, "Stdin (-) can be read only once"),
        (("a.wav", "--skip-existing"), 2, "--skip-existing needs --output-dir"),
        (("a.wav", "--raw", "s12le"), 2, "--raw: 's12le' is not allowed"),
        (("a.wav", "--language", "klingon"), 2, "language: 'klingon' is not allowed"),
        (("-", "--artifact", "nothing"), 3, "no artifact 'nothing'"),
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


def test_a_selection_of_an_artifact_takes_a_profile_and_no_model() -> None:
    assert ModelSelection(model=None, artifact="base", profile="cpu-fast", threads=0).profile == "cpu-fast"
    with pytest.raises(click.UsageError, match="--model"):
        ModelSelection(model="base", artifact="base", profile=None, threads=0)


def test_a_repeated_model_option_collects_models_and_artifacts() -> None:
    collected: list[dict[str, object]] = []

    @click.command()
    @functools.partial(model_options, multiple=True)
    def command(**flags: object) -> None:
        collected.append(flags)

    args = ["-m", "tiny", "-m", "base", "-a", "x", "--threads", "2"]
    assert CliRunner().invoke(command, args).exit_code == 0
    assert collected == [{"models": ("tiny", "base"), "artifacts": ("x",), "profile": None, "threads": 2}]


def test_a_stored_artifact_is_resolved_by_label(tmp_path: Path) -> None:
    context = CliContext(cache=tmp_path / "cache")
    artifact = publish_sample(context.create_store())
    selection = ModelSelection(model=None, artifact="base", profile=None, threads=0)
    assert resolve_artifact(context, selection).key == artifact.key
