"""The objects of a realtime client's events, read field by field: what is not taken is refused by its name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from neuron_whisper.errors import InvalidOption, UnknownOption

MAX_ECHO_LENGTH = 80


class JsonFields:
    """An object at `path`. Read the fields that are known, then `reject_unknown`; what is null reads as None."""

    def __init__(self, value: object, path: str) -> None:
        """Raises InvalidOption when `value` is not an object."""
        if not isinstance(value, dict):
            raise InvalidOption(path, truncate(value), "an object")
        self._unread: dict[str, Any] = dict(value)
        self._known: dict[str, None] = {}  # every name that was looked for, in that order
        self.path = path

    def field_path(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def has(self, name: str) -> bool:
        self._known[name] = None
        return name in self._unread

    def pop(self, name: str) -> Any:
        """The value as it came, None where there is none."""
        self._known[name] = None
        return self._unread.pop(name, None)

    def read_text(self, name: str) -> str | None:
        value = self.pop(name)
        if value is not None and not isinstance(value, str):
            raise InvalidOption(self.field_path(name), truncate(value), "text")
        return value

    def read_texts(self, name: str) -> tuple[str, ...]:
        value = self.pop(name)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
            raise InvalidOption(self.field_path(name), truncate(value), "a list of texts")
        return tuple(value)

    def read_number(self, name: str, default: float) -> float:
        value = self.pop(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise InvalidOption(self.field_path(name), truncate(value), "a number")
        return value

    def read_integer(self, name: str, default: int) -> int:
        value = self.read_number(name, default)
        if value != int(value):
            raise InvalidOption(self.field_path(name), value, "a whole number")
        return int(value)

    def read_choice(self, name: str, allowed: tuple[str, ...], default: str) -> str:
        value = self.read_text(name)
        if value is not None and value not in allowed:
            raise InvalidOption(self.field_path(name), truncate(value), " or ".join(allowed))
        return value or default

    def reject_unsupported(self, reasons: Mapping[str, str]) -> None:
        """Raises InvalidOption for a field of OpenAI's API that is set, with the reason why it cannot be."""
        for name, reason in reasons.items():
            value = self.pop(name)
            if value is not None and value is not False:
                raise InvalidOption(self.field_path(name), truncate(value), f"not supported here: {reason}")

    def ignore(self, names: tuple[str, ...]) -> None:
        """Fields that say nothing here."""
        for name in names:
            self.pop(name)

    def reject_unknown(self) -> None:
        """Raises UnknownOption for a field that was not looked for."""
        for name in self._unread:
            raise UnknownOption(self.field_path(truncate_text(name)), map(self.field_path, self._known))


def truncate(value: object) -> object:
    """A caller's value as it may stand in an answer to it."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return truncate_text(value if isinstance(value, str) else repr(value))


def truncate_text(text: str) -> str:
    return text if len(text) <= MAX_ECHO_LENGTH else text[:MAX_ECHO_LENGTH] + "…"
