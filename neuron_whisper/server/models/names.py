"""Which names a model answers to, and which of several models a name means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from types import MappingProxyType

from neuron_whisper.errors import InvalidOption, UnknownModel
from neuron_whisper.model.catalogue import CATALOGUE

OPENAI_ALIAS = "whisper-1"  # the name that OpenAI's clients send


def list_served_names(model: str) -> tuple[str, ...]:
    """What a model answers to, its own name first.

    "turbo" -> turbo, large-v3-turbo, openai/whisper-large-v3-turbo, whisper-1; "/models/mine.pt" -> mine.pt,
    whisper-1: where it lies on this machine is nobody's business.
    """
    is_hub_id = model.count("/") == 1 and not model.startswith(("/", ".", "~"))
    own = model if is_hub_id else PurePath(model).name or OPENAI_ALIAS
    wanted = CATALOGUE[own].hub_id if own in CATALOGUE else own.partition("@")[0]
    others: list[str] = [short for short, entry in CATALOGUE.items() if entry.hub_id == wanted]
    if others:
        others.append(wanted)
    return tuple(dict.fromkeys((own, *others, OPENAI_ALIAS)))


class ModelNames:
    """Every name that is served, and the model's own name that it stands for. Immutable.

    `models` has a sequence of names for each model. Its own name is the first that no model before it has: of two
    artifacts of one model the second goes by the next of its names. Of two models that bring the same other name, the
    first has it. `default` (any name; None: the first model) is meant where no model is named, and by `whisper-1`.
    `aliases` go before all names but a model's own.

    Raises InvalidOption for a model without a name of its own, for an alias or a default that means no model, and for
    an alias that is a model's own name.
    """

    def __init__(
        self, models: Sequence[Sequence[str]], *, aliases: Mapping[str, str] | None = None, default: str | None = None
    ) -> None:
        own: list[str] = []
        for names in models:
            free = [name for name in names if name not in own and (name != OPENAI_ALIAS or len(names) == 1)]
            if not free:
                raise InvalidOption("model", names[0], "it is given twice")
            own.append(free[0])
        means = {name: name for name in own}
        for name, names in zip(own, models, strict=True):
            for other in names:
                if other != OPENAI_ALIAS:
                    means.setdefault(other, name)
        self.primary_names = tuple(own)
        self.default = own[0] if default is None else self._resolve_setting(means, "default_model", default)
        means.setdefault(OPENAI_ALIAS, self.default)
        meant = {alias: self._resolve_setting(means, "alias", name) for alias, name in (aliases or {}).items()}
        for alias, name in meant.items():
            if alias in own:
                raise InvalidOption("alias", f"{alias}={name}", f"{alias} is a model's own name")
        self._primary_by_name = MappingProxyType(means | meant)

    def resolve(self, name: str | None) -> str:
        """The own name of the model that `name` stands for; None is the default. Raises UnknownModel."""
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


def _describe_known_names(names: Iterable[str]) -> str:
    return f"it names none of the served models: {', '.join(names)}"
