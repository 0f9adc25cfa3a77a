"""The names and aliases of the served models, and which model a name refers to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from types import MappingProxyType

from neuron_whisper.errors import InvalidOption, UnknownModel
from neuron_whisper.model.catalogue import CATALOGUE

OPENAI_ALIAS = "whisper-1"  # the default name in OpenAI's clients


def list_served_names(model: str) -> tuple[str, ...]:
    """The names of a model, its primary name first.

    "turbo" -> turbo, large-v3-turbo, openai/whisper-large-v3-turbo, whisper-1; "/models/mine.pt" -> mine.pt,
    whisper-1, as clients must not learn paths of this machine.
    """
    is_hub_id = model.count("/") == 1 and not model.startswith(("/", ".", "~"))
    primary = model if is_hub_id else PurePath(model).name or OPENAI_ALIAS
    hub_id = CATALOGUE[primary].hub_id if primary in CATALOGUE else primary.partition("@")[0]
    others: list[str] = [short for short, entry in CATALOGUE.items() if entry.hub_id == hub_id]
    if others:
        others.append(hub_id)
    return tuple(dict.fromkeys((primary, *others, OPENAI_ALIAS)))


class ModelNames:
    """Maps every served name to the primary name of its model. Immutable.

    `models` has a sequence of names for each model. Its primary name is the first that no earlier model has: of two
    artifacts of one model the second gets the next of its names. A name of two models refers to the first.
    `default` (any name; None: the first model) is used where a request names no model, and for `whisper-1`.
    `aliases` override all names except primary names; one may refer to another, and `default` to any.

    Raises InvalidOption for a model without a unique name, for an alias or a default that refers to no model, and
    for an alias that is a primary name.
    """

    def __init__(
        self, models: Sequence[Sequence[str]], *, aliases: Mapping[str, str] | None = None, default: str | None = None
    ) -> None:
        primary_names: list[str] = []
        for names in models:
            free = [name for name in names if name not in primary_names and (name != OPENAI_ALIAS or len(names) == 1)]
            if not free:
                raise InvalidOption("model", names[0], "the model is given twice")
            primary_names.append(free[0])
        primary_by_name = {name: name for name in primary_names}
        for name, names in zip(primary_names, models, strict=True):
            for other in names:
                if other != OPENAI_ALIAS:
                    primary_by_name.setdefault(other, name)
        self.primary_names = tuple(primary_names)
        aliases = aliases or {}
        for alias, name in aliases.items():
            if alias in primary_names:
                raise InvalidOption("alias", f"{alias}={name}", f"{alias} is the name of a served model")
        if default is None or (default == OPENAI_ALIAS and default not in aliases):
            self.default = primary_names[0]
        else:
            self.default = self._resolve_setting(primary_by_name, "default_model", _follow(aliases, default))
        primary_by_name.setdefault(OPENAI_ALIAS, self.default)
        resolved = {
            alias: self._resolve_setting(primary_by_name, "alias", _follow(aliases, name, start=alias))
            for alias, name in aliases.items()
        }
        self._primary_by_name = MappingProxyType(primary_by_name | resolved)

    def resolve(self, name: str | None) -> str:
        """The primary name of the model that `name` refers to; None: the default. Raises UnknownModel."""
        if name is None:
            return self.default
        if name not in self._primary_by_name:
            raise UnknownModel(name, self._primary_by_name)
        return self._primary_by_name[name]

    def list_aliases(self, primary_name: str) -> tuple[str, ...]:
        """The other names of a model."""
        return tuple(
            name for name, model in self._primary_by_name.items() if model == primary_name and name != primary_name
        )

    @staticmethod
    def _resolve_setting(primary_by_name: Mapping[str, str], field: str, name: str) -> str:
        if name not in primary_by_name:
            raise InvalidOption(field, name, _describe_known_names(primary_by_name))
        return primary_by_name[name]


def _follow(aliases: Mapping[str, str], name: str, *, start: str = "") -> str:
    """The name at the end of a chain of aliases; that at which it turns in a circle, or comes back to `start`."""
    seen = {start}
    while name in aliases and name not in seen:
        seen.add(name)
        name = aliases[name]
    return name


def _describe_known_names(names: Iterable[str]) -> str:
    return f"one of the served models: {', '.join(names)}"
