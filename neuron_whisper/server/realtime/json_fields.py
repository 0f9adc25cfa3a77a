"""The objects of a realtime client's events, read field by field: what is not taken is refused by its name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from neuron_whisper.errors import InvalidOption

LONGEST_ECHO = 80


class Fields:
    """An object at `path`. Read the fields that are known, then `end`; what is null reads as None."""

    def __init__(self, value: object, path: str) -> None:
        """Raises InvalidOption when `value` is not an object."""
        if not isinstance(value, dict):
            raise InvalidOption(path, short(value), "an object")
        self._left: dict[str, Any] = dict(value)
        self.path = path

    def at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def has(self, name: str) -> bool:
        return name in self._left

    def take(self, name: str) -> Any:
        """The value as it came, None where there is none."""
        return self._left.pop(name, None)

    def text(self, name: str) -> str | None:
        value = self.take(name)
        if value is not None and not isinstance(value, str):
            raise InvalidOption(self.at(name), short(value), "text")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        value = self.take(name)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
            raise InvalidOption(self.at(name), short(value), "a list of texts")
        return tuple(value)

    def number(self, name: str, default: float) -> float:
        value = self.take(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise InvalidOption(self.at(name), short(value), "a number")
        return value

    def whole(self, name: str, default: int) -> int:
        value = self.number(name, default)
        if value != int(value):
            raise InvalidOption(self.at(name), value, "a whole number")
        return int(value)

    def one_of(self, name: str, allowed: tuple[str, ...], default: str) -> str:
        value = self.text(name)
        if value is not None and value not in allowed:
            raise InvalidOption(self.at(name), short(value), " or ".join(allowed))
        return value or default

    def refuse(self, reasons: Mapping[str, str]) -> None:
        """Raises InvalidOption for a field of OpenAI's API that is set, with the reason why it cannot be."""
        for name, reason in reasons.items():
            value = self.take(name)
            if value is not None and value is not False:
                raise InvalidOption(self.at(name), short(value), f"not supported here: {reason}")

    def drop(self, names: tuple[str, ...]) -> None:
        """Fields that say nothing here."""
        for name in names:
            self.take(name)

    def end(self) -> None:
        """Raises InvalidOption for what was not read."""
        for name, value in self._left.items():
            raise InvalidOption(self.at(short_text(name)), short(value), "there is no such field")


def short(value: object) -> object:
    """A caller's value as it may stand in an answer to it."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return short_text(value if isinstance(value, str) else repr(value))


def short_text(text: str) -> str:
    return text if len(text) <= LONGEST_ECHO else text[:LONGEST_ECHO] + "…"
