"""A cache that earlier versions filled: what they compiled is said to be outdated, never used, and freed by prune."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from neuron_whisper.api import load_model
from neuron_whisper.artifact.loader import Artifact
from neuron_whisper.artifact.store import ArtifactStore
from neuron_whisper.artifact.transfer import export_artifact
from neuron_whisper.errors import ArtifactOutdated
from tests.support.artifact_samples import publish_sample, sample_manifest
from tests.support.cli_runs import Cli
from tests.support.earlier_versions import write_earlier_artifact

UNKNOWN_TABLE = {"shapes": {"slots": 8, "decode_buckets": [64, 448]}}  # a table that this version cannot read


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "cache")


@pytest.fixture
def earlier(store: ArtifactStore) -> list[Path]:
    """Artifacts of both versions and of one model, the youngest written after anything that is compiled now."""
    return [
        write_earlier_artifact(store, "0.1.0"),
        write_earlier_artifact(store, "0.2.0", created="2099-01-01T00:00:00+00:00"),
        write_earlier_artifact(store, "0.2.0", profile_changes=UNKNOWN_TABLE),
        write_earlier_artifact(store, "0.2.0", model="tiny.en"),
    ]


@pytest.fixture
def current(store: ArtifactStore, earlier: list[Path]) -> Artifact:
    return publish_sample(store, sample_manifest())


def test_a_name_means_the_current_artifact_whatever_earlier_versions_left(
    store: ArtifactStore, current: Artifact
) -> None:
    for reference in ("base", "bas", current.name, current.key[:6]):
        assert store.resolve(reference) == current


def test_an_earlier_artifact_is_refused_as_outdated_by_every_name_it_has(
    store: ArtifactStore, earlier: list[Path]
) -> None:
    tiny = earlier[-1]
    for reference in ("tiny.en", "tiny", tiny.name, tiny.name[-16:], str(tiny)):
        with pytest.raises(ArtifactOutdated, match=r"0\.2\.0"):
            store.resolve(reference)
    with pytest.raises(ArtifactOutdated):
        load_model(tiny, cache=store.directory.root)


def test_the_list_has_the_current_artifact_and_names_each_outdated_one_with_its_version(
    cli: Cli, store: ArtifactStore, current: Artifact, earlier: list[Path]
) -> None:
    done = cli("artifacts", "list", "--json", "--cache", store.directory.root)
    listed = json.loads(done.out)
    assert done.code == 0
    assert [it["name"] for it in listed["artifacts"]] == [current.name]
    assert {it["name"] for it in listed["outdated"]} == {path.name for path in earlier}
    assert {it["neuron_whisper"] for it in listed["outdated"]} == {"0.1.0", "0.2.0"}
    assert listed["broken"] == []
    text = cli("artifacts", "list", "--cache", store.directory.root)
    assert text.code == 0
    assert text.err.count("outdated: ") == len(earlier)


def test_models_are_compiled_by_what_is_current_alone(cli: Cli, store: ArtifactStore, current: Artifact) -> None:
    rows = json.loads(cli("models", "list", "--json", "--cache", store.directory.root).out)
    assert {row["name"]: row["artifacts"] for row in rows if row["name"] in ("base", "tiny.en")} == {
        "base": [current.name],
        "tiny.en": [],
    }


def test_verify_says_of_an_earlier_artifact_that_it_is_outdated_and_not_that_it_is_sound(
    cli: Cli, store: ArtifactStore, current: Artifact, earlier: list[Path]
) -> None:
    done = cli("artifacts", "verify", "--json", "--cache", store.directory.root)
    results = {it["name"]: it for it in json.loads(done.out)}
    assert done.code == 0
    assert results[current.name]["sound"]
    assert all(not results[path.name]["sound"] and results[path.name]["outdated"] for path in earlier)
    assert cli("artifacts", "verify", earlier[0].name, "--cache", store.directory.root).code == 3


def test_prune_frees_what_is_outdated_and_keeps_what_is_current(
    cli: Cli, store: ArtifactStore, current: Artifact, earlier: list[Path]
) -> None:
    removed = json.loads(cli("artifacts", "prune", "--json", "--cache", store.directory.root).out)["removed"]
    assert {Path(it["path"]).name for it in removed} == {path.name for path in earlier}
    assert [path.exists() for path in earlier] == [False] * len(earlier)
    assert store.list_artifacts().current == [current]


def test_prune_leaves_what_a_later_version_compiled(store: ArtifactStore) -> None:
    later = write_earlier_artifact(store, "99.0.0")
    assert store.prune() == []
    assert later.exists()


def test_prune_leaves_an_outdated_artifact_that_a_running_process_uses(
    store: ArtifactStore, earlier: list[Path]
) -> None:
    used = store.list_artifacts().outdated[0].artifact
    with store.lock_shared(used):
        assert used.path not in {pruned.path for pruned in store.prune()}
    assert [pruned.path for pruned in store.prune()] == [used.path]


def test_doctor_tells_of_outdated_artifacts(cli: Cli, store: ArtifactStore, earlier: list[Path]) -> None:
    checks = json.loads(cli("doctor", "--json", "--cache", store.directory.root).out)
    text = json.dumps(checks)
    assert f"{len(earlier)} outdated" in text


def test_an_import_of_an_earlier_artifact_says_that_it_cannot_be_used(
    cli: Cli, store: ArtifactStore, earlier: list[Path], tmp_path: Path
) -> None:
    archive = tmp_path / "old.tar"
    export_artifact(store.list_artifacts().outdated[0].artifact, archive)
    done = cli("artifacts", "import", archive, "--cache", tmp_path / "other")
    assert done.code == 0
    assert "outdated" in done.err
