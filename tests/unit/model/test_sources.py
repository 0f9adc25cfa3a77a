"""A model's name becomes a local checkpoint, or an error that names what would."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuron_whisper.errors import FetchFailed, UnknownModel
from neuron_whisper.model.catalogue import CatalogueEntry
from neuron_whisper.model.sources import resolve_model

ONLY_FAKE = {"fake": CatalogueEntry(name="fake", hub_id="neuron-whisper-test/fake")}


def test_a_local_checkpoint_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "model.bin").write_bytes(b"x")
    (tmp_path / "mine.pt").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    assert resolve_model("base", cache=tmp_path / "cache", offline=True) == Path("base")
    assert resolve_model("mine.pt", cache=tmp_path / "cache", offline=True) == Path("mine.pt")


def test_a_directory_that_only_shares_a_short_name_does_not_hide_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fake").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FetchFailed):
        resolve_model("fake", cache=tmp_path / "cache", offline=True, catalogue=ONLY_FAKE)


@pytest.mark.parametrize("name", ["./nowhere", "/no/where", "nowhere.pt", "a/b/c", "~/nowhere"])
def test_a_path_that_does_not_exist_says_so(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match=r"does not exist"):
        resolve_model(name, cache=tmp_path)


def test_a_directory_without_a_checkpoint_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="holds no checkpoint"):
        resolve_model(str(tmp_path), cache=tmp_path / "cache")


@pytest.mark.parametrize(
    ("name", "close"),
    [("larg-v3", "large-v3"), ("kotoba-v2", "kotoba-v2.2"), ("tiny-en", "tiny.en")],
)
def test_a_misspelt_short_name_is_answered_with_close_ones(name: str, close: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownModel) as caught:
        resolve_model(name, cache=tmp_path)
    assert close in caught.value.known
