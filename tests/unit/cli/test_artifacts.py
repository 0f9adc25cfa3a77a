"""`artifacts` on a store of small artifacts that nothing compiled."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from neuron_whisper.artifact.loader import Artifact
from neuron_whisper.artifact.store import ArtifactStore
from tests.support.artifact_samples import flip_byte, publish_sample
from tests.support.cli_runs import Cli

WEIGHTS = Path("weights/tp0.safetensors")


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    store = ArtifactStore(tmp_path / "cache")
    store.directory.create()
    return publish_sample(store)


@pytest.fixture
def cache(artifact: Artifact, tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_an_artifact_is_listed_by_name_and_found_by_label(cli: Cli, cache: Path, artifact: Artifact) -> None:
    listed = json.loads(cli("artifacts", "list", "--json", "--cache", cache).out)
    assert [it["name"] for it in listed["artifacts"]] == [artifact.name]
    assert listed["broken"] == []
    shown = json.loads(cli("artifacts", "show", "base", "--json", "--cache", cache).out)
    assert shown["path"] == str(artifact.path)
    assert artifact.key in cli("artifacts", "show", artifact.key[:8], "--cache", cache).out


def test_an_empty_cache_lists_nothing_and_says_so_on_stderr(cli: Cli, tmp_path: Path) -> None:
    done = cli("artifacts", "list", "--cache", tmp_path / "none")
    assert (done.code, done.out) == (0, "")
    assert done.err.startswith("no artifact in ")


def test_a_flipped_byte_fails_verify_by_its_file(cli: Cli, cache: Path, artifact: Artifact) -> None:
    assert cli("artifacts", "verify", "--cache", cache).out == f"{artifact.name}: sound\n"
    flip_byte(artifact.path / WEIGHTS, 100)
    done = cli("artifacts", "verify", "--json", "--cache", cache)
    [result] = json.loads(done.out)
    assert (done.code, result["sound"]) == (3, False)
    assert WEIGHTS.name in result["problems"][0]


def test_prune_removes_only_without_dry_run(cli: Cli, cache: Path, artifact: Artifact) -> None:
    dry = cli("artifacts", "prune", "--all", "--dry-run", "--cache", cache)
    assert dry.out.startswith(artifact.name)
    assert dry.err.startswith("would free ")
    assert artifact.path.exists()
    assert cli("artifacts", "prune", "--all", "--cache", cache).code == 0
    assert not artifact.path.exists()


def test_prune_frees_the_compile_cache_where_it_is_named(cli: Cli, cache: Path, artifact: Artifact) -> None:
    graph = cache / "compile-cache" / "neuron" / "neuronxcc-2.26.6360.0" / "MODULE_1+2" / "model.neff"
    graph.parent.mkdir(parents=True)
    graph.write_bytes(b"12345")
    assert cli("artifacts", "prune", "--cache", cache).out == ""
    assert cli("artifacts", "prune", "--compile-cache", "--older-than", "9999", "--cache", cache).out == ""
    dry = json.loads(cli("artifacts", "prune", "--compile-cache", "--dry-run", "--json", "--cache", cache).out)
    assert [(it["path"], it["size_bytes"]) for it in dry["removed"]] == [(str(cache / "compile-cache" / "neuron"), 5)]
    assert graph.exists()
    assert cli("artifacts", "prune", "--compile-cache", "--cache", cache).out.startswith("neuron: compile cache")
    assert not graph.exists()
    assert artifact.path.exists()


def test_an_exported_artifact_is_imported_into_another_cache(
    cli: Cli, cache: Path, artifact: Artifact, tmp_path: Path
) -> None:
    file = tmp_path / "base.tar"
    assert cli("artifacts", "export", "base", file, "--cache", cache).code == 0
    imported = cli("artifacts", "import", file, "--cache", tmp_path / "other")
    assert Path(imported.out.strip()) == tmp_path / "other" / "artifacts" / artifact.name
