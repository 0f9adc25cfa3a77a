"""Names of repositories, and what the hub says of a file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from neuron_whisper.artifact.sharing.repository import HubFile, parse_repository
from neuron_whisper.errors import InvalidOption


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("me/whisper", ("me/whisper", None)),
        ("me/whisper@v1.0", ("me/whisper", "v1.0")),
        ("Org-1/a_b.c@refs/pr/2", ("Org-1/a_b.c", "refs/pr/2")),
        (f"me/whisper@{'0' * 40}", ("me/whisper", "0" * 40)),
    ],
)
def test_a_repository_is_owner_and_name_with_a_revision_or_none(text: str, expected: tuple[str, str | None]) -> None:
    assert parse_repository(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whisper",
        "me/",
        "/me",
        "me/a/b",
        "../me/a",
        "me/..",
        "me/a..b",
        "me/a--b",
        "me/a.git",
        "me/a.",
        "me-/a",
        "https://huggingface.co/me/a",
        "me/a@",
        "me/a b",
        "me/a\n",
        "m\u0435/a",  # a Cyrillic letter that looks like e
        f"me/{'a' * 94}",
    ],
)
def test_nothing_else_is_a_repository(text: str) -> None:
    with pytest.raises(InvalidOption, match="REPO"):
        parse_repository(text)


def test_a_large_file_is_known_by_its_sha256(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"weights")
    listed = HubFile(size=7, sha256=hashlib.sha256(b"weights").hexdigest(), git_sha1="that of the pointer")
    assert listed.holds(path)
    path.write_bytes(b"Weights")
    assert not listed.holds(path)
    path.write_bytes(b"weight")
    assert not listed.holds(path)


def test_a_small_file_is_known_by_its_git_object(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"hello\n")
    listed = HubFile(size=6, git_sha1="ce013625030ba8dba906f756967f9e9ca394464a")  # git hash-object
    assert listed.holds(path)
    path.write_bytes(b"Hello\n")
    assert not listed.holds(path)
    assert not HubFile(size=6).holds(path)
