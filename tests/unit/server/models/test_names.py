"""Names and aliases of models."""

from __future__ import annotations

import pytest

from neuron_whisper.errors import (
    InvalidOption,
    UnknownModel,
)
from neuron_whisper.server.models.names import ModelNames, list_served_names


def test_a_name_resolves_to_one_model_and_none_to_the_first() -> None:
    names = ModelNames([list_served_names("base"), list_served_names("someone/finetuned")])
    assert [names.resolve(name) for name in (None, "whisper-1", "openai/whisper-base")] == ["base"] * 3
    assert names.resolve("someone/finetuned") == "someone/finetuned"
    assert names.list_aliases("base") == ("openai/whisper-base", "whisper-1")
    with pytest.raises(UnknownModel, match="'tiny'; known here: base, someone/finetuned, openai/whisper-base,"):
        names.resolve("tiny")


def test_a_second_artifact_of_one_model_has_its_own_name() -> None:
    names = ModelNames(
        [(*list_served_names("base"), "base-cpu-tp1-aa"), (*list_served_names("base"), "base-cpu-tp1-bb")]
    )
    assert names.primary_names == ("base", "openai/whisper-base")
    assert names.resolve("base-cpu-tp1-bb") == "openai/whisper-base"


def test_aliases_override_other_names() -> None:
    names = ModelNames(
        [list_served_names("base"), list_served_names("turbo")],
        aliases={"gpt-4o-transcribe": "large-v3-turbo", "whisper-1": "turbo"},
    )
    assert (names.resolve("gpt-4o-transcribe"), names.resolve("whisper-1"), names.resolve(None)) == (
        "turbo",
        "turbo",
        "base",
    )
    chained = ModelNames([["a"], ["b"]], aliases={"x": "y", "y": "b", "z": "whisper-1"}, default="x")
    assert [chained.resolve(name) for name in ("x", "y", "z", None)] == ["b"] * 4
    assert ModelNames([["a"], ["b"]], default="whisper-1").resolve(None) == "a"
    assert ModelNames([["a"], ["b"]], default="b").resolve("whisper-1") == "b"


@pytest.mark.parametrize(
    ("models", "options", "field"),
    [
        ([["a"]], {"aliases": {"x": "b"}}, "alias"),
        ([["a"], ["b"]], {"aliases": {"b": "a"}}, "alias"),
        ([["a"]], {"default": "b"}, "default_model"),
        ([["a"]], {"aliases": {"x": "y", "y": "x"}}, "alias"),
        ([["a"]], {"aliases": {"x": "x"}, "default": "x"}, "default_model"),
        ([["a"], ["a"]], {}, "model"),
    ],
)
def test_ambiguous_and_unknown_names_are_rejected(
    models: list[list[str]], options: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidOption, match=f"^{field}: "):
        ModelNames(models, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "names"),
    [
        ("base", ("base", "openai/whisper-base", "whisper-1")),
        ("openai/whisper-base@main", ("openai/whisper-base@main", "base", "openai/whisper-base", "whisper-1")),
        ("someone/finetuned", ("someone/finetuned", "whisper-1")),
        ("/home/me/models/mine.pt", ("mine.pt", "whisper-1")),
        ("./base", ("base", "openai/whisper-base", "whisper-1")),
    ],
)
def test_a_model_has_the_names_that_it_is_known_by(model: str, names: tuple[str, ...]) -> None:
    assert list_served_names(model) == names
