"""Artifacts through a hub: the real client over the wire, from one cache into an empty one, or refused."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from huggingface_hub import constants

from neuron_whisper import load_model
from neuron_whisper.artifact.loader import Artifact, check_artifact, find_problems
from neuron_whisper.artifact.manifest import FileEntry, encode_manifest
from neuron_whisper.artifact.sharing.hub_errors import RepositoryMissing
from neuron_whisper.artifact.sharing.pull import PulledArtifact, PullOptions, pull_artifacts
from neuron_whisper.artifact.sharing.push import PushOptions, PushResult, push_artifacts
from neuron_whisper.artifact.sharing.repository import HubRepository
from neuron_whisper.artifact.store import ArtifactStore, StoredArtifacts
from neuron_whisper.errors import (
    ArtifactCorrupt,
    ArtifactNotFound,
    ArtifactOutdated,
    ArtifactUnsafe,
    InvalidOption,
    MissingOption,
    TransferFailed,
)
from neuron_whisper.transcript import Segment
from tests.support.artifact_samples import FILES, TOOLCHAIN, flip_byte, publish_sample, sample_manifest
from tests.support.bench_reports import make_report
from tests.support.hub_server import TOKEN, Hub, Repository, StoredFile, serve_hub
from tests.support.paths import ROOT
from tests.support.small_disks import small_disk

# huggingface_hub's use of httpx2
pytestmark = pytest.mark.filterwarnings(
    "ignore:Use 'content=<...>' to upload raw bytes/text content:DeprecationWarning"
)

REPOSITORY = "alice/whisper"
WEIGHTS, GRAPH = "weights/tp0.safetensors", "graphs/decode.xml"
STRANGER = "hf_tokenOfAStranger"


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve_hub() as made:
        made.users[STRANGER] = "mallory"
        yield made


@pytest.fixture(autouse=True)
def _only_the_token_of_the_test(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return publish_sample(ArtifactStore(tmp_path / "here"))


@pytest.fixture
def there(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "there")


def push(hub: Hub, *artifacts: Artifact, name: str = REPOSITORY, **options: Any) -> PushResult:
    return push_artifacts(HubRepository(name, endpoint=hub.address), artifacts, PushOptions(**options))


def pull(hub: Hub, store: ArtifactStore, *refs: str, name: str = REPOSITORY, **options: Any) -> list[PulledArtifact]:
    repository = HubRepository(name, endpoint=hub.address)
    return list(pull_artifacts(repository, store, refs, PullOptions(**options), trusted=["alice"]).artifacts)


def stored(hub: Hub) -> Repository:
    return hub.repositories[REPOSITORY]


def assert_nothing_arrived(store: ArtifactStore) -> None:
    assert store.list_artifacts() == StoredArtifacts()
    assert not store.directory.staging.exists() or list(store.directory.staging.iterdir()) == []


def other_artifact(tmp_path: Path, model: str = "tiny.en", **facts: Any) -> Artifact:
    return publish_sample(ArtifactStore(tmp_path / "here"), sample_manifest(model, **{"number": 2, **facts}))


# --- there and back -----------------------------------------------------------------------------


def test_a_pushed_artifact_is_pulled_into_an_empty_cache_unchanged_and_opens(
    hub: Hub, artifact: Artifact, there: ArtifactStore
) -> None:
    push(hub, artifact)
    [pulled] = pull(hub, there)
    assert pulled.is_new
    assert pulled.artifact is not None
    assert pulled.artifact.path == there.directory.artifacts / artifact.name
    assert pulled.artifact.manifest == artifact.manifest
    check_artifact(pulled.artifact, TOOLCHAIN)
    assert {name: (pulled.artifact.path / name).read_bytes() for name in FILES} == FILES
    assert list(there.directory.staging.iterdir()) == []


def test_the_repository_is_private_by_default_and_public_when_asked(hub: Hub, artifact: Artifact) -> None:
    assert push(hub, artifact).is_private
    assert not push(hub, artifact, name="alice/open", public=True).is_private
    assert {name: it.private for name, it in hub.repositories.items()} == {REPOSITORY: True, "alice/open": False}


def test_a_folder_for_each_artifact_and_the_card_make_one_commit(hub: Hub, artifact: Artifact, tmp_path: Path) -> None:
    result = push(hub, artifact, other_artifact(tmp_path))
    assert (result.commit, len(stored(hub).commits)) == (stored(hub).commits[-1][0], 2)  # the first made it
    names = {path.partition("/")[0] for path in stored(hub).files}
    assert names == {artifact.name, *(it for it in result.digests), "README.md", ".gitattributes"}
    content = stored(hub).files[f"{artifact.name}/manifest.json"].content
    assert content == (artifact.path / "manifest.json").read_bytes()
    assert result.digests[artifact.name] == hashlib.sha256(content).hexdigest()


def test_the_card_is_of_all_artifacts_also_of_those_pushed_before(hub: Hub, artifact: Artifact, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    report.write_text(json.dumps(make_report(artifact.key)))
    from neuron_whisper.artifact.sharing.measurements import read_report

    push(hub, artifact, measurements=read_report(report), card="Our **meetings**.\n", tags=("meetings",))
    other = other_artifact(tmp_path)
    push(hub, other)
    card = stored(hub).files["README.md"].content.decode()
    assert f"## {artifact.name}" in card
    assert f"## {other.name}" in card
    assert "WER 3.21 %" in card
    assert "Our **meetings**." in card
    assert "- meetings" in card
    assert not any(b"secret words" in file.content for file in stored(hub).files.values())


def test_a_card_that_the_hub_refuses_is_named_by_what_is_wrong_and_nothing_is_committed(
    hub: Hub, artifact: Artifact
) -> None:
    with pytest.raises(TransferFailed, match=r'front matter of the card: "license" must be one of .*; change that of'):
        push(hub, artifact, card="---\nlicense: gpl-2.0-or-later\n---\n")
    assert len(stored(hub).commits) == 1


def test_a_second_push_sends_nothing_and_makes_no_commit(hub: Hub, artifact: Artifact) -> None:
    first = push(hub, artifact)
    hub.requests.clear()
    second = push(hub, artifact)
    assert (second.commit, second.sent) == (first.commit, {})
    assert {method for method, _, _ in hub.requests} == {"GET", "HEAD"}


def test_a_push_that_was_interrupted_goes_on_with_what_is_missing(hub: Hub, artifact: Artifact) -> None:
    hub.before = lambda method, path: (500, {}, b"") if "/commit/" in path else None
    with pytest.raises(TransferFailed, match="an error of its own, 500"):
        push(hub, artifact)
    assert artifact.name not in str(stored(hub).files)
    assert hub.count("PUT", "^/upload/") == 1
    hub.before = lambda method, path: None
    push(hub, artifact)
    assert hub.count("PUT", "^/upload/") == 1
    assert stored(hub).files[f"{artifact.name}/{WEIGHTS}"].content == FILES[WEIGHTS]


def test_two_who_push_at_once_are_both_in_the_repository_and_on_the_card(
    hub: Hub, artifact: Artifact, tmp_path: Path
) -> None:
    other = other_artifact(tmp_path)
    push(hub, artifact)
    files = stored(hub).files
    third = publish_sample(ArtifactStore(tmp_path / "here"), sample_manifest("small", number=3))
    theirs = {f"{third.name}/{name}": (third.path / name).read_bytes() for name in (*FILES, "manifest.json")}

    def interfere(method: str, path: str) -> None:
        if "/commit/" in path and stored(hub).files is files:
            added = {name: StoredFile(content, name.endswith("tensors")) for name, content in theirs.items()}
            stored(hub).commit({**files, **added})

    hub.before = interfere
    push(hub, other)
    card = stored(hub).files["README.md"].content.decode()
    assert all(f"## {it.name}" in card and f"{it.name}/manifest.json" in stored(hub).files for it in (other, third))


def test_files_of_a_former_compilation_under_the_same_key_go(hub: Hub, artifact: Artifact) -> None:
    push(hub, artifact)
    stored(hub).put(f"{artifact.name}/graphs/old.xml", b"<old/>")
    result = push(hub, artifact)
    assert result.deleted == (f"{artifact.name}/graphs/old.xml",)
    assert result.deleted[0] not in stored(hub).files


def test_a_dry_run_makes_no_repository_and_no_commit(
    hub: Hub, artifact: Artifact, there: ArtifactStore, tmp_path: Path
) -> None:
    planned = push(hub, artifact, dry_run=True)
    assert planned.commit is None
    assert planned.sent[f"{artifact.name}/{WEIGHTS}"] == len(FILES[WEIGHTS])
    assert hub.repositories == {}
    push(hub, artifact)
    [pulled] = pull(hub, there, dry_run=True)
    assert (pulled.name, pulled.is_new, pulled.artifact) == (artifact.name, True, None)
    assert not there.directory.root.exists()
    assert hub.count("GET", "/object/") == 0


def test_what_is_here_already_is_not_downloaded_and_what_is_damaged_here_is(
    hub: Hub, artifact: Artifact, there: ArtifactStore
) -> None:
    push(hub, artifact)
    pull(hub, there)
    hub.requests.clear()
    [again] = pull(hub, there)
    assert (again.is_new, hub.count("GET", "/object/")) == (False, 0)
    assert again.artifact is not None
    flip_byte(again.artifact.path / WEIGHTS)
    [repaired] = pull(hub, there)
    assert repaired.artifact is not None
    assert (repaired.is_new, find_problems(repaired.artifact)) == (True, [])


def test_two_who_pull_at_once_both_get_it(hub: Hub, artifact: Artifact, there: ArtifactStore) -> None:
    push(hub, artifact)
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: pull(hub, there), range(2)))
    paths = {it.artifact.path for [it] in both if it.artifact}
    assert paths == {there.directory.artifacts / artifact.name}
    assert list(there.directory.staging.iterdir()) == []


def test_what_was_compiled_here_under_the_same_key_stays_unless_a_digest_is_demanded(
    hub: Hub, artifact: Artifact, there: ArtifactStore
) -> None:
    digest = push(hub, artifact).digests[artifact.name]
    own = publish_sample(there, files={**FILES, GRAPH: b"<own/>"})
    [kept] = pull(hub, there)
    assert (kept.is_new, kept.artifact) == (False, own)
    with pytest.raises(TransferFailed, match="pull into another --cache"):
        pull(hub, there, digest=digest)


# --- which artifact -----------------------------------------------------------------------------


def test_of_several_artifacts_the_one_that_can_be_used_here_is_pulled(
    hub: Hub, artifact: Artifact, there: ArtifactStore, tmp_path: Path
) -> None:
    push(hub, artifact, other_artifact(tmp_path, toolchain={"openvino": "2020.1"}))
    assert [it.name for it in pull(hub, there)] == [artifact.name]


def test_several_that_can_be_used_are_listed_and_one_is_named_by_label_name_or_key(
    hub: Hub, artifact: Artifact, there: ArtifactStore, tmp_path: Path
) -> None:
    other = other_artifact(tmp_path)
    push(hub, artifact, other)
    with pytest.raises(MissingOption, match=f"{artifact.name}, {other.name}"):
        pull(hub, there)
    for reference in ("tiny.en", other.name, other.key[:6], other.key):
        assert [it.name for it in pull(hub, there, reference)] == [other.name]
    assert {it.name for it in pull(hub, there, "base", "tiny.en")} == {artifact.name, other.name}
    for unknown in ("small", other.key[:16] + "0" * 48):
        with pytest.raises(ArtifactNotFound):
            pull(hub, there, unknown)


def test_an_artifact_of_another_toolchain_or_target_is_refused_unless_it_is_for_another_machine(
    hub: Hub, there: ArtifactStore, tmp_path: Path
) -> None:
    outdated = other_artifact(tmp_path, toolchain={"openvino": "2020.1"})
    push(hub, outdated)
    for references in ((), ("tiny.en",)):
        with pytest.raises(ArtifactOutdated, match=r"openvino 2020\.1, .* --for-another-machine"):
            pull(hub, there, *references)
    assert_nothing_arrived(there)
    [pulled] = pull(hub, there, any_machine=True)
    assert pulled.artifact is not None
    assert "2020.1" in pulled.unusable


def test_a_repository_without_an_artifact_says_so(hub: Hub, there: ArtifactStore) -> None:
    hub.repositories[REPOSITORY] = empty = Repository(private=True)
    empty.commit({})
    with pytest.raises(TransferFailed, match="no artifact in it"):
        pull(hub, there)
    empty.put("config.json", b"{}")
    empty.put("model.safetensors", b"weights")
    empty.put("manifest.json", b"{}")
    with pytest.raises(TransferFailed, match="no artifact in it"):
        pull(hub, there)
    assert_nothing_arrived(there)


# --- who is trusted, and which commit ------------------------------------------------------------


@pytest.mark.parametrize("trusted", [[], ["bob"], ["Alice"], ["alice/whisper"]])
def test_an_owner_who_is_not_named_is_refused_before_the_hub_is_asked(
    hub: Hub, artifact: Artifact, there: ArtifactStore, trusted: list[str]
) -> None:
    push(hub, artifact)
    hub.requests.clear()
    with pytest.raises(InvalidOption, match=r"--trust: .*artifacts are code"):
        pull_artifacts(HubRepository(REPOSITORY, endpoint=hub.address), there, trusted=trusted)
    assert hub.requests == []
    assert_nothing_arrived(there)


def test_a_repository_that_was_given_to_another_owner_is_refused_by_its_new_name(
    hub: Hub, artifact: Artifact, there: ArtifactStore
) -> None:
    push(hub, artifact, public=True)
    hub.repositories["mallory/whisper"] = hub.repositories.pop(REPOSITORY)
    hub.renamed[REPOSITORY] = "mallory/whisper"
    with pytest.raises(TransferFailed, match="'mallory/whisper' now"):
        pull(hub, there)
    assert_nothing_arrived(there)


def test_a_revision_that_moves_meanwhile_changes_nothing_all_files_are_of_one_commit(
    hub: Hub, artifact: Artifact, there: ArtifactStore
) -> None:
    commit = push(hub, artifact).commit

    def move(method: str, path: str) -> None:
        if f"/{WEIGHTS}" in path or path.endswith("manifest.json"):
            stored(hub).put(f"{artifact.name}/{GRAPH}", b"<evil>")
            stored(hub).put(f"{artifact.name}/{WEIGHTS}", bytes(len(FILES[WEIGHTS])))

    hub.before = move
    [pulled] = pull(hub, there)
    assert pulled.artifact is not None
    assert pulled.artifact.manifest == artifact.manifest
    assert find_problems(pulled.artifact) == []
    resolved = {path.split("/resolve/")[1].partition("/")[0] for _, path, _ in hub.requests if "/resolve/" in path}
    assert resolved == {commit}


def test_a_branch_a_tag_or_a_commit_can_be_named(hub: Hub, artifact: Artifact, there: ArtifactStore) -> None:
    commit = push(hub, artifact).commit
    assert commit is not None
    stored(hub).refs |= {"v1": commit, "refs/pr/1": commit}
    stored(hub).put(f"{artifact.name}/{GRAPH}", b"<later>")
    for revision in ("v1", "refs/pr/1", commit):
        assert len(pull(hub, there, revision=revision)) == 1
    with pytest.raises(ArtifactCorrupt):
        pull(hub, ArtifactStore(there.directory.root / "second"))
    with pytest.raises(TransferFailed, match="alice/whisper@v2: the hub has no such revision"):
        pull(hub, there, revision="v2")


def test_a_mirror_that_answers_for_another_commit_is_refused(
    hub: Hub, artifact: Artifact, there: ArtifactStore
) -> None:
    commit = push(hub, artifact).commit
    other = stored(hub).put("a.txt", b"1")
    info = {"id": REPOSITORY, "sha": other, "private": True, "siblings": []}
    headers = {"Content-Type": "application/json"}
    hub.before = lambda method, path: (200, headers, json.dumps(info).encode()) if "/api/" in path else None
    with pytest.raises(TransferFailed, match=f"asked for {commit}"):
        pull(hub, there, revision=commit)
    content = (artifact.path / "manifest.json").read_bytes()
    headers = {"X-Repo-Commit": other, "ETag": '"0"'}
    hub.before = lambda method, path: (200, headers, content) if path.endswith("manifest.json") else None
    with pytest.raises(TransferFailed, match=f"asked for at the commit {commit}, the answer is of {other}"):
        pull(hub, there, revision=commit)


def test_the_digest_that_push_prints_can_be_demanded(hub: Hub, artifact: Artifact, there: ArtifactStore) -> None:
    digest = push(hub, artifact).digests[artifact.name]
    with pytest.raises(ArtifactCorrupt, match=rf"manifest\.json: expected sha256 {'0' * 64}, found sha256 {digest}"):
        pull(hub, there, digest="0" * 64)
    assert_nothing_arrived(there)
    assert pull(hub, there, digest=digest)[0].digest == digest


# --- what is not whole, or hostile ---------------------------------------------------------------


def flipped(content: bytes) -> bytes:
    return bytes([content[0] ^ 1]) + content[1:]


@pytest.mark.parametrize("name", [WEIGHTS, GRAPH, "config.json", "manifest.json"])
def test_a_tampered_file_is_refused_by_name(hub: Hub, artifact: Artifact, there: ArtifactStore, name: str) -> None:
    push(hub, artifact)
    path = f"{artifact.name}/{name}"
    stored(hub).put(path, flipped(stored(hub).files[path].content))
    with pytest.raises(ArtifactCorrupt, match=rf"alice/whisper@\w{{12}}: {path}: expected") as caught:
        pull(hub, there)
    assert name == "manifest.json" or "sha256" in str(caught.value)
    assert str(caught.value).endswith("; nothing of it was stored; ask its owner, alice, who can push it again")
    assert_nothing_arrived(there)


@pytest.mark.parametrize("name", [WEIGHTS, GRAPH, "manifest.json"])
def test_a_hub_that_lists_one_file_and_gives_another_is_found_out(
    hub: Hub, artifact: Artifact, there: ArtifactStore, name: str
) -> None:
    push(hub, artifact)
    file = stored(hub).files[f"{artifact.name}/{name}"]
    target = f"/object/{file.sha256}" if file.is_lfs else f"/{name}"
    headers = {"X-Repo-Commit": stored(hub).commits[-1][0], "ETag": f'"{file.git_sha1}"'}

    def lie(method: str, path: str) -> tuple[int, Mapping[str, str], bytes] | None:
        return (200, headers, flipped(file.content)) if path.endswith(target) else None

    hub.before = lie  # type: ignore[assignment]  # a mapping
    with pytest.raises(ArtifactCorrupt, match=name):
        pull(hub, there)
    assert_nothing_arrived(there)


def test_a_manifest_that_is_sound_and_not_the_one_that_the_hub_lists_is_refused(
    hub: Hub, artifact: Artifact, there: ArtifactStore
) -> None:
    commit = push(hub, artifact).commit
    earlier = encode_manifest(msgspec.structs.replace(artifact.manifest, created="2024-01-01T12:00:00+00:00"))
    headers = {"X-Repo-Commit": str(commit), "ETag": '"0"'}
    hub.before = lambda method, path: (200, headers, earlier) if path.endswith("manifest.json") else None
    with pytest.raises(ArtifactCorrupt, match="the file that the hub lists"):
        pull(hub, there)
    assert_nothing_arrived(there)


def test_large_files_with_another_digest_are_refused_before_they_are_downloaded(
    hub: Hub, artifact: Artifact, there: ArtifactStore
) -> None:
    push(hub, artifact)
    stored(hub).put(f"{artifact.name}/{WEIGHTS}", flipped(FILES[WEIGHTS]))
    with pytest.raises(ArtifactCorrupt, match=WEIGHTS):
        pull(hub, there)
    assert hub.count("GET", "/object/") == 0


def put_manifest(hub: Hub, artifact: Artifact, change: Callable[[bytes], bytes]) -> None:
    path = f"{artifact.name}/manifest.json"
    stored(hub).put(path, change(stored(hub).files[path].content))


def test_a_manifest_whose_key_is_not_that_of_its_facts_is_refused(
    hub: Hub, artifact: Artifact, there: ArtifactStore
) -> None:
    push(hub, artifact)
    put_manifest(hub, artifact, lambda content: content.replace(TOOLCHAIN["openvino"].encode(), b"2099.9.9"))
    with pytest.raises(ArtifactCorrupt, match="the key of these facts is"):
        pull(hub, there)
    assert_nothing_arrived(there)


def test_an_artifact_in_the_folder_of_another_is_refused(
    hub: Hub, artifact: Artifact, there: ArtifactStore, tmp_path: Path
) -> None:
    push(hub, artifact)
    other = other_artifact(tmp_path)
    put_manifest(hub, artifact, lambda content: (other.path / "manifest.json").read_bytes())
    with pytest.raises(ArtifactCorrupt, match=f"expected the name {artifact.name}, found {other.name}"):
        pull(hub, there)


@pytest.mark.parametrize("evil", ["../../evil", "/tmp/evil", "a/../../../evil", "weights/..", "a\\..\\evil"])
def test_a_manifest_cannot_name_a_place_outside_of_its_folder(
    hub: Hub, artifact: Artifact, there: ArtifactStore, evil: str
) -> None:
    push(hub, artifact)
    stored(hub).put(f"{artifact.name}/{evil}", b"{}\n")
    written = json.dumps(evil).encode()
    put_manifest(hub, artifact, lambda content: content.replace(b'"config.json"', written))
    with pytest.raises(ArtifactCorrupt, match="a plain relative path"):
        pull(hub, there)
    assert_nothing_arrived(there)


@pytest.mark.parametrize("evil", ["../../evil", "graphs/../../evil", "notes.md", "graphs/more.xml", "a\x1b[2Jb"])
def test_a_file_that_the_manifest_does_not_list_is_refused_unread(
    hub: Hub, artifact: Artifact, there: ArtifactStore, evil: str
) -> None:
    push(hub, artifact)
    stored(hub).put(f"{artifact.name}/{evil}", b"evil")
    with pytest.raises(ArtifactCorrupt, match="expected no such file") as caught:
        pull(hub, there)
    assert str(caught.value).isprintable()
    assert hub.count("GET", "evil|notes|more|object|\x1b") == 0
    assert_nothing_arrived(there)


def test_strange_names_elsewhere_in_a_repository_are_no_artifacts_and_do_no_harm(
    hub: Hub, artifact: Artifact, there: ArtifactStore
) -> None:
    push(hub, artifact)
    for path in (f"../{artifact.name}/manifest.json", "/etc/passwd", f"x/../{artifact.name}/manifest.json", "a\nb"):
        stored(hub).put(path, b"evil")
    assert [it.name for it in pull(hub, there)] == [artifact.name]


def test_a_missing_file_is_named(hub: Hub, artifact: Artifact, there: ArtifactStore) -> None:
    push(hub, artifact)
    files = dict(stored(hub).files)
    del files[f"{artifact.name}/{GRAPH}"]
    stored(hub).commit(files)
    with pytest.raises(ArtifactCorrupt, match=rf"{GRAPH}: expected 6 bytes, found no such file"):
        pull(hub, there)


def test_a_link_in_a_repository_is_a_file_with_another_content(
    hub: Hub, artifact: Artifact, there: ArtifactStore
) -> None:
    push(hub, artifact)
    stored(hub).put(f"{artifact.name}/{GRAPH}", b"/etc/p")  # git keeps a link as a file with its target in it
    with pytest.raises(ArtifactCorrupt, match=f"{GRAPH}: expected sha256"):
        pull(hub, there)
    assert_nothing_arrived(there)


def test_a_manifest_of_any_size_is_not_read(hub: Hub, artifact: Artifact, there: ArtifactStore) -> None:
    push(hub, artifact)
    put_manifest(hub, artifact, lambda content: content + b" " * (16 << 20))
    with pytest.raises(ArtifactCorrupt, match="at most 16777216 bytes"):
        pull(hub, there)
    assert hub.count("GET", "manifest.json") == 0


def test_a_manifest_with_other_files_and_its_own_seal_is_another_artifact_and_digest_tells(
    hub: Hub, artifact: Artifact, there: ArtifactStore
) -> None:
    digest = push(hub, artifact).digests[artifact.name]
    evil = b"<EVIL>"
    entries = {**artifact.manifest.files, GRAPH: FileEntry(size=6, sha256=hashlib.sha256(evil).hexdigest())}
    put_manifest(
        hub, artifact, lambda content: encode_manifest(msgspec.structs.replace(artifact.manifest, files=entries))
    )
    stored(hub).put(f"{artifact.name}/{GRAPH}", evil)
    with pytest.raises(ArtifactCorrupt, match="sha256"):
        pull(hub, there, digest=digest)
    assert_nothing_arrived(there)


# --- pushing only what is whole, to where it is meant ---------------------------------------------


@pytest.mark.parametrize("name", [WEIGHTS, GRAPH])
def test_a_damaged_artifact_is_not_pushed(hub: Hub, artifact: Artifact, name: str) -> None:
    flip_byte(artifact.path / name)
    with pytest.raises(ArtifactCorrupt, match=name):
        push(hub, artifact)
    assert hub.requests == []


def test_a_link_in_an_artifact_is_not_followed_by_a_push(hub: Hub, artifact: Artifact, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes((artifact.path / GRAPH).read_bytes())
    (artifact.path / GRAPH).unlink()
    (artifact.path / GRAPH).symlink_to(tmp_path / "secret")
    with pytest.raises(ArtifactUnsafe, match="symbolic link"):
        push(hub, artifact)
    assert hub.requests == []


def test_a_public_repository_gets_nothing_unless_that_is_meant(hub: Hub, artifact: Artifact, tmp_path: Path) -> None:
    push(hub, artifact, public=True)
    other = other_artifact(tmp_path)
    with pytest.raises(InvalidOption, match="--public"):
        push(hub, other)
    assert not any(other.name in path for path in stored(hub).files)
    push(hub, other, public=True)
    assert f"{other.name}/manifest.json" in stored(hub).files


def test_a_private_repository_stays_private_and_the_result_says_so(hub: Hub, artifact: Artifact) -> None:
    push(hub, artifact)
    result = push(hub, artifact, public=True)
    assert result.is_private
    assert "stays private" in result.warnings[0]
    assert stored(hub).private


def test_what_a_card_cannot_say_and_what_a_manifest_gives_away_is_said(hub: Hub, tmp_path: Path) -> None:
    manifest = msgspec.structs.replace(sample_manifest("mine"), model="/home/bob/mine")
    result = push(hub, publish_sample(ArtifactStore(tmp_path / "here"), manifest))
    licence, path = result.warnings
    assert "licence" in licence
    assert "/home/bob/mine" in path


# --- errors, and the token -----------------------------------------------------------------------


def test_a_private_repository_is_closed_to_others(
    hub: Hub, artifact: Artifact, there: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(hub, artifact)
    for token in (STRANGER, ""):
        monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(RepositoryMissing, match="may not see it; HF_TOKEN"):
            pull(hub, there)
    monkeypatch.setenv("HF_TOKEN", "hf_revoked")
    with pytest.raises(TransferFailed, match="refuses this one") as caught:
        pull(hub, there)
    assert "hf_revoked" not in str(caught.value)


def test_only_its_owner_writes_to_a_repository(
    hub: Hub, artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(hub, artifact, public=True)
    other = other_artifact(tmp_path)
    monkeypatch.setenv("HF_TOKEN", STRANGER)
    with pytest.raises(TransferFailed, match=r"may not do that .*no write access"):
        push(hub, other, public=True)
    with pytest.raises(TransferFailed, match=r"may not do that .*no right to the namespace"):
        push(hub, other, name="alice/new")
    monkeypatch.setenv("HF_TOKEN", "")
    with pytest.raises(TransferFailed, match="wants a token"):
        push(hub, other, name="alice/new")


def test_a_hub_that_is_not_there_or_not_to_be_asked_is_named(
    artifact: Artifact, there: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = Hub(address=f"http://127.0.0.1:{closed.getsockname()[1]}")
    for action in (lambda: pull(nobody, there), lambda: push(nobody, artifact)):
        with pytest.raises(TransferFailed, match="cannot be reached"):
            action()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(TransferFailed, match="HF_HUB_OFFLINE is set"):
        pull(nobody, there)
    assert_nothing_arrived(there)


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>sign in</html>",
        b"[]",
        b"{}",
        b'{"id": "alice/whisper"}',
        b'{"id": "alice/whisper", "sha": "main"}',
        b'{"id": "alice/whisper", "sha": "%s", "siblings": [{}]}' % (b"0" * 40),
        b'{"id": "alice/whisper", "sha": "%s", "siblings": [{"rfilename": "a", "size": "b"}]}' % (b"0" * 40),
    ],
)
def test_an_answer_that_is_not_a_hubs_is_named(hub: Hub, there: ArtifactStore, answer: bytes) -> None:
    hub.before = lambda method, path: (200, {"Content-Type": "application/json"}, answer)
    with pytest.raises(TransferFailed, match="answer"):
        pull(hub, there)


def test_a_disk_without_room_is_named_before_anything_is_downloaded(hub: Hub, tmp_path: Path) -> None:
    large = {**FILES, "weights/more.bin": bytes(3 << 20)}
    push(hub, publish_sample(ArtifactStore(tmp_path / "here"), files=large))
    (tmp_path / "small").mkdir()
    with small_disk(tmp_path / "small", 1 << 20) as is_small:
        if not is_small:
            pytest.skip("not proved where no file system can be mounted: that a full disk is named")
        store = ArtifactStore(tmp_path / "small" / "cache")
        with pytest.raises(TransferFailed, match="GB are free; `artifacts prune` frees some"):
            pull(hub, store)
        assert hub.count("GET", "/object/") == 0
        assert_nothing_arrived(store)


def test_the_token_goes_to_the_hub_alone(hub: Hub, artifact: Artifact, there: ArtifactStore) -> None:
    push(hub, artifact)
    pull(hub, there)
    assert hub.count("PUT", "^/upload/") == hub.count("GET", "^/object/") == 1  # at the storage's own address
    assert not any(path.startswith(("/upload/", "/object/")) for path in hub.authorized)
    assert f"/api/models/{REPOSITORY}" in hub.authorized


# --- the command line ----------------------------------------------------------------------------


def environment(hub: Hub, tmp_path: Path, token: str = TOKEN) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    hub_variables = {"HF_ENDPOINT": hub.address, "HF_TOKEN": token, "HF_HUB_DISABLE_XET": "1"}
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**kept, **hub_variables, "HF_HOME": str(tmp_path / "hf"), "PYTHONPATH": paths, "NO_PROXY": "127.0.0.1"}


def start(hub: Hub, tmp_path: Path, *args: object, token: str = TOKEN) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "neuron_whisper", *map(str, args)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=environment(hub, tmp_path, token), cwd=tmp_path, text=True, **pipes)  # type: ignore[call-overload,no-any-return]  # of pipes


def run(hub: Hub, tmp_path: Path, *args: object, token: str = TOKEN) -> tuple[int, str, str]:
    with start(hub, tmp_path, *args, token=token) as process:
        out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_a_compiled_model_is_pushed_pulled_into_an_empty_cache_and_transcribes_the_same(
    hub: Hub, tmp_path: Path, tiny_checkpoint: Path, tiny_profile: Path
) -> None:
    expected = transcribe(tiny_checkpoint, tmp_path / "here", profile=tiny_profile)
    here, there = ("--cache", tmp_path / "here"), ("--cache", tmp_path / "there")
    code, out, err = run(hub, tmp_path, "artifacts", "push", REPOSITORY, "--json", *here)
    assert code == 0, err
    pushed = json.loads(out)
    [name] = [it["name"] for it in pushed["artifacts"]]
    assert (pushed["private"], pushed["new"], pushed["commit"]) == (True, True, stored(hub).commits[-1][0])
    digest = pushed["artifacts"][0]["digest"]
    pull_flags = ("--trust", "alice", "--digest", digest, "--json", *there)
    code, out, err = run(hub, tmp_path, "artifacts", "pull", f"{REPOSITORY}@{pushed['commit']}", *pull_flags)
    assert code == 0, err
    pulled = json.loads(out)
    assert pulled["commit"] == pushed["commit"]
    assert pulled["artifacts"][0]["path"] == str(tmp_path / "there" / "artifacts" / name)
    assert transcribe(name, tmp_path / "there") == expected


def transcribe(model: str | Path, cache: Path, **options: Any) -> list[Segment]:
    """Of a tone, in which random weights hear something."""
    samples = np.sin(np.arange(32_000, dtype=np.float32) * 0.17) / 4
    with load_model(model, cache=cache, threads=1, **options) as loaded:
        segments = loaded.transcribe(samples, vad_filter=False, temperature=0).segments
    assert segments
    return list(segments)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_pull_leaves_no_artifact_and_the_next_one_is_clean(
    hub: Hub, artifact: Artifact, there: ArtifactStore, tmp_path: Path, how: signal.Signals
) -> None:
    push(hub, artifact)
    reached, end = threading.Event(), threading.Event()

    def stop(method: str, path: str) -> None:
        if path.startswith("/object/") and not end.is_set():
            reached.set()
            end.wait(30)

    hub.before = stop
    process = start(hub, tmp_path, "artifacts", "pull", REPOSITORY, "--trust", "alice", "--cache", there.directory.root)
    assert reached.wait(30)
    process.send_signal(how)
    process.communicate(timeout=30)
    end.set()
    assert process.returncode != 0
    assert there.list_artifacts() == StoredArtifacts()
    assert (list(there.directory.staging.iterdir()) == []) == (how is signal.SIGINT)
    [pulled] = pull(hub, there)
    assert pulled.artifact is not None
    assert find_problems(pulled.artifact) == []
    assert list(there.directory.staging.iterdir()) == []


def test_a_command_that_fails_prints_no_token_even_when_it_logs_all(
    hub: Hub, artifact: Artifact, tmp_path: Path
) -> None:
    cache = ("--cache", tmp_path / "here", "--verbose")
    for token in ("hf_revokedToken", "hf_brokenToken\x01"):
        code, out, err = run(hub, tmp_path, "artifacts", "push", REPOSITORY, *cache, token=token)
        assert code in (2, 3)
        assert "error: " in err
        assert "revokedToken" not in out + err
        assert "brokenToken" not in out + err
