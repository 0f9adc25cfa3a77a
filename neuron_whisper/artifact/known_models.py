"""The models that are known by a short name: size, languages, licence, and whether each is on this machine."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from neuron_whisper.artifact.loader import Artifact
from neuron_whisper.model.catalogue import CATALOGUE, CatalogueEntry
from neuron_whisper.model.dims import WhisperDims
from neuron_whisper.model.parameters import expected_shapes
from neuron_whisper.model.published_dims import PUBLISHED_DIMS
from neuron_whisper.model.sources import find_local_model
from neuron_whisper.text.languages import LANGUAGES
from neuron_whisper.text.special_tokens import SpecialTokens


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """A model of the catalogue. `aliases` are its further short names, `languages` the codes it was trained for.

    `checkpoint` is where its weights are on this machine, None when they have to be downloaded; `artifacts` are the
    names of the stored artifacts compiled from it.
    """

    name: str
    aliases: tuple[str, ...]
    hub_id: str
    licence: str
    parameters: int
    languages: tuple[str, ...]
    checkpoint: Path | None
    artifacts: tuple[str, ...]


def list_known_models(cache: Path, artifacts: Iterable[Artifact] = ()) -> list[KnownModel]:
    """Every model of the catalogue, in its order. Downloads nothing."""
    artifacts = list(artifacts)
    names_of: dict[str, list[str]] = {}
    for short_name, entry in CATALOGUE.items():
        names_of.setdefault(entry.name, []).append(short_name)
    return [
        KnownModel(
            name=name,
            aliases=tuple(other for other in names if other != name),
            hub_id=CATALOGUE[name].hub_id,
            licence=CATALOGUE[name].licence,
            parameters=count_parameters(PUBLISHED_DIMS[name]),
            languages=list_languages(CATALOGUE[name]),
            checkpoint=find_local_model(name, cache=cache),
            artifacts=tuple(it.name for it in artifacts if it.manifest.model in (*names, CATALOGUE[name].hub_id)),
        )
        for name, names in names_of.items()
    ]


def count_parameters(dims: WhisperDims) -> int:
    """Values in all parameters of a model; the output projection is the token embedding and counts once."""
    return sum(math.prod(shape) for shape in expected_shapes(dims).values())


def list_languages(entry: CatalogueEntry) -> tuple[str, ...]:
    """Codes of the languages that a model was trained for: ("en",), ("ja",), or all 99 or 100 of its vocabulary."""
    dims = PUBLISHED_DIMS[entry.name]
    if entry.languages is not None:
        return entry.languages
    if not dims.is_multilingual:
        return ("en",)
    return tuple(LANGUAGES)[: SpecialTokens.from_vocab_size(dims.n_vocab).n_languages]
