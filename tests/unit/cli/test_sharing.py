"""`artifacts push` and `artifacts pull`: what is refused before a hub is asked. The rest needs one: integration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from neuron_whisper.artifact.loader import Artifact
from neuron_whisper.artifact.store import ArtifactStore
from tests.support.artifact_samples import publish_sample, sample_manifest
from tests.support.bench_reports import make_report
from tests.support.cli_runs import Cli


@pytest.fixture(autouse=True)
def _no_hub_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_TOKEN", "hf_ofNobody")


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return publish_sample(ArtifactStore(tmp_path / "cache"))


def test_a_pull_without_a_trusted_owner_is_a_usage_error_that_says_why(cli: Cli, tmp_path: Path) -> None:
    done = cli("artifacts", "pull", "alice/whisper", "--cache", tmp_path / "cache")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: --trust: missing; artifacts are code")
    assert not (tmp_path / "cache").exists()
    assert cli("artifacts", "pull", "alice/whisper", "--trust", "bob").code == 2


@pytest.mark.parametrize("repo", ["whisper", "a/b/c", "https://huggingface.co/a/b", "../a"])
def test_what_is_no_repository_is_a_usage_error(cli: Cli, repo: str) -> None:
    for done in (cli("artifacts", "pull", repo, "--trust", "a"), cli("artifacts", "push", repo)):
        assert (done.code, done.err.startswith(f"error: REPO: {repo!r} is not allowed")) == (2, True)


def test_a_push_goes_to_main_alone(cli: Cli, artifact: Artifact, tmp_path: Path) -> None:
    done = cli("artifacts", "push", "alice/whisper@v1", "--cache", tmp_path / "cache")
    assert (done.code, "branch main" in done.err) == (2, True)


def test_a_push_without_a_reference_needs_exactly_one_artifact(cli: Cli, artifact: Artifact, tmp_path: Path) -> None:
    cache = ("--cache", tmp_path / "cache")
    offline = cli("artifacts", "push", "alice/whisper", *cache)
    assert (offline.code, "HF_HUB_OFFLINE" in offline.err) == (3, True)
    other = publish_sample(ArtifactStore(tmp_path / "cache"), sample_manifest("tiny.en", number=2))
    done = cli("artifacts", "push", "alice/whisper", *cache)
    assert (done.code, done.err) == (
        2,
        f"error: REF: missing; name the artifacts to push, of: {artifact.name}, {other.name}\n",
    )
    assert "none is stored" in cli("artifacts", "push", "alice/whisper", "--cache", tmp_path / "none").err


def test_a_report_of_other_artifacts_is_refused(cli: Cli, artifact: Artifact, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    flags = ("--bench", report, "--cache", tmp_path / "cache")
    report.write_text(json.dumps(make_report("ab" * 32)))
    assert cli("artifacts", "push", "alice/whisper", *flags).code == 2
    report.write_text(json.dumps(make_report(artifact.key)))
    assert cli("artifacts", "push", "alice/whisper", *flags).code == 3  # it is taken; the hub is not to be asked


def test_tags_and_card_are_checked_before_the_hub_is_asked(cli: Cli, artifact: Artifact, tmp_path: Path) -> None:
    cache = ("--cache", tmp_path / "cache")
    assert cli("artifacts", "push", "alice/whisper", "--tags", "a,,b", *cache).code == 2
    (tmp_path / "card.md").write_text("---\n[1\n---\n")
    assert cli("artifacts", "push", "alice/whisper", "--card", tmp_path / "card.md", *cache).code == 2


def test_no_flag_takes_a_token(cli: Cli) -> None:
    for command in ("push", "pull"):
        shown = cli("artifacts", command, "--help").out
        assert "--token" not in shown
        assert "HF_TOKEN" in shown
