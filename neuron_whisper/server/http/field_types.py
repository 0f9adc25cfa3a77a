"""What a field of a form may be: its JSON schema, and what its text becomes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neuron_whisper.errors import InvalidOption

LONGEST_TEXT = 16_384  # characters; Whisper's prompt ends long before
LONGEST_ECHO = 80
MOST_VALUES = 100  # of a list
NONE = "none"  # spelled out, it switches a threshold off
MAX_SEED = 2**63 - 1
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """`read` gives a text's value and raises ValueError or InvalidOption; `allowed` says what it may be.

    `blank_is_none`: a text that is empty was not given. Clients send such for what their user left out.
    """

    schema: Mapping[str, Any]
    allowed: str
    read: Callable[[str], object]
    blank_is_none: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FormField:
    """A field of a form. A list is sent as `name[]`, once for each of its values.

    `option` is the field of TranscribeOptions that it sets, where it sets just one.
    """

    name: str
    kind: Kind
    about: str
    option: str | None = None
    is_list: bool = False
    examples: Sequence[Any] = ()

    @property
    def sent_as(self) -> str:
        return f"{self.name}[]" if self.is_list else self.name

    def read(self, texts: Mapping[str, Sequence[str]]) -> Any:
        """The value of one that was given (see `is_given`). Raises InvalidOption."""
        given = self._texts(texts)
        if self.is_list:
            if len(given) > MOST_VALUES:
                raise InvalidOption(self.name, f"{len(given)} values", f"at most {MOST_VALUES}")
            return tuple(self._value(text) for text in given)
        if len(given) > 1:
            raise InvalidOption(self.name, f"{len(given)} values", "it may be given once")
        return self._value(given[0])

    def is_given(self, texts: Mapping[str, Sequence[str]]) -> bool:
        return bool(self._texts(texts))

    def _texts(self, texts: Mapping[str, Sequence[str]]) -> list[str]:
        names = (self.sent_as, self.name) if self.is_list else (self.name,)
        given = [text for name in names for text in texts.get(name, ())]
        return [text for text in given if text.strip()] if self.kind.blank_is_none else given

    def _value(self, text: str) -> object:
        try:
            return self.kind.read(text)
        except ValueError:
            raise InvalidOption(self.name, short(text), self.kind.allowed) from None
        except InvalidOption as fault:  # of a reader that knows better what is near
            raise InvalidOption(self.name, short(text), fault.allowed) from None


def short(value: str) -> str:
    """A caller's value as it may stand in an answer to it."""
    return value if len(value) <= LONGEST_ECHO else value[:LONGEST_ECHO] + "…"


# --- kinds ----------------------------------------------------------------------------------------


def _text(text: str) -> str:
    if len(text) > LONGEST_TEXT:
        raise ValueError(text)
    return text


def _flag(text: str) -> bool:
    return {"true": True, "false": False}[text.strip().lower()]


def _flag_or_error(text: str) -> bool:
    try:
        return _flag(text)
    except KeyError:
        raise ValueError(text) from None


TEXT = Kind(
    schema={"type": "string", "maxLength": LONGEST_TEXT},
    allowed=f"text of at most {LONGEST_TEXT:,} characters",
    read=_text,
    blank_is_none=True,
)
FLAG = Kind(schema={"type": "boolean"}, allowed="true or false", read=_flag_or_error)


def number(low: float = -math.inf, high: float = math.inf, *, or_none: bool = False) -> Kind:
    """A number from low to high; with `or_none` the word none, too, which is read as None."""

    def read(text: str) -> float | None:
        if or_none and text.strip().lower() == NONE:
            return None
        value = _finite(text)
        if not low <= value <= high:
            raise ValueError(text)
        return value

    schema: dict[str, Any] = {"type": "number"}
    schema |= {} if low == -math.inf else {"minimum": low}
    schema |= {} if high == math.inf else {"maximum": high}
    if or_none:
        schema = {"anyOf": [schema, {"type": "string", "enum": [NONE]}]}
    return Kind(schema=schema, allowed=f"a number{_range(low, high)}{', or none' if or_none else ''}", read=read)


def whole(low: int, high: int) -> Kind:
    """A whole number from low to high."""

    def read(text: str) -> int:
        value = int(text) if re.fullmatch(r"[+-]?[0-9]{1,20}", text.strip()) else _finite(text)
        if not low <= value <= high or value != int(value):
            raise ValueError(text)
        return int(value)

    schema = {"type": "integer", "minimum": low, "maximum": high}
    return Kind(schema=schema, allowed=f"a whole number{_range(low, high)}", read=read)


def one_of(*words: str) -> Kind:
    """One of these words."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    return Kind(schema={"type": "string", "enum": list(words)}, allowed=f"one of {', '.join(words)}", read=read)


def listed(item: str, about: str, read_item: Callable[[str], object], most: int) -> Kind:
    """Values with commas between them, each spelled as the regular expression `item` says."""
    pattern = f"^{item}(,{item}){{0,{most - 1}}}$"

    def read(text: str) -> tuple[object, ...]:
        if not re.fullmatch(pattern[1:-1], text):
            raise ValueError(text)
        return tuple(read_item(part) for part in text.split(","))

    return Kind(schema={"type": "string", "pattern": pattern}, allowed=about, read=read)


def _finite(text: str) -> float:
    if not _NUMBER.fullmatch(text.strip()):
        raise ValueError(text)
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _range(low: float, high: float) -> str:
    match low == -math.inf, high == math.inf:
        case True, True:
            return ""
        case True, False:
            return f" of at most {high:g}"
        case False, True:
            return f" from {low:g}"
    return f" from {low:g} to {high if isinstance(high, int) else format(high, 'g')}"
