"""What a field of a form may be: its JSON schema, and what its text becomes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neuron_whisper.errors import InvalidOption

MAX_TEXT_CHARS = 16_384  # characters; Whisper's prompt ends long before
MAX_ECHO_CHARS = 80
MAX_LIST_VALUES = 100  # of a list
NONE = "none"  # spelled out, it switches a threshold off
MAX_SEED = 2**63 - 1
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldType:
    """`parse` gives a text's value and raises ValueError or InvalidOption; `allowed` says what it may be.

    `blank_is_none`: a text that is empty was not given. Clients send such for what their user left out.
    """

    schema: Mapping[str, Any]
    allowed: str
    parse: Callable[[str], object]
    blank_is_none: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FormField:
    """A field of a form. A list is sent as `name[]`, once for each of its values.

    `option` is the field of TranscribeOptions that it sets, where it sets just one.
    """

    name: str
    field_type: FieldType
    description: str
    option: str | None = None
    is_list: bool = False
    examples: Sequence[Any] = ()

    @property
    def form_name(self) -> str:
        return f"{self.name}[]" if self.is_list else self.name

    def parse(self, texts: Mapping[str, Sequence[str]]) -> Any:
        """The value of one that was given (see `is_given`). Raises InvalidOption."""
        given = self._select_texts(texts)
        if self.is_list:
            if len(given) > MAX_LIST_VALUES:
                raise InvalidOption(self.name, f"{len(given)} values", f"at most {MAX_LIST_VALUES}")
            return tuple(self._parse_value(text) for text in given)
        if len(given) > 1:
            raise InvalidOption(self.name, f"{len(given)} values", "it may be given once")
        return self._parse_value(given[0])

    def is_given(self, texts: Mapping[str, Sequence[str]]) -> bool:
        return bool(self._select_texts(texts))

    def _select_texts(self, texts: Mapping[str, Sequence[str]]) -> list[str]:
        names = (self.form_name, self.name) if self.is_list else (self.name,)
        given = [text for name in names for text in texts.get(name, ())]
        return [text for text in given if text.strip()] if self.field_type.blank_is_none else given

    def _parse_value(self, text: str) -> object:
        try:
            return self.field_type.parse(text)
        except ValueError:
            raise InvalidOption(self.name, truncate(text), self.field_type.allowed) from None
        except InvalidOption as fault:  # of a reader that knows better what is near
            raise InvalidOption(self.name, truncate(text), fault.allowed) from None


def truncate(value: str) -> str:
    """A caller's value as it may stand in an answer to it."""
    return value if len(value) <= MAX_ECHO_CHARS else value[:MAX_ECHO_CHARS] + "…"


# --- kinds ----------------------------------------------------------------------------------------


def _parse_text(text: str) -> str:
    if len(text) > MAX_TEXT_CHARS:
        raise ValueError(text)
    return text


def _parse_boolean(text: str) -> bool:
    return {"true": True, "false": False}[text.strip().lower()]


def _parse_boolean_or_raise(text: str) -> bool:
    try:
        return _parse_boolean(text)
    except KeyError:
        raise ValueError(text) from None


TEXT = FieldType(
    schema={"type": "string", "maxLength": MAX_TEXT_CHARS},
    allowed=f"text of at most {MAX_TEXT_CHARS:,} characters",
    parse=_parse_text,
    blank_is_none=True,
)
BOOLEAN = FieldType(schema={"type": "boolean"}, allowed="true or false", parse=_parse_boolean_or_raise)


def number(low: float = -math.inf, high: float = math.inf, *, or_none: bool = False) -> FieldType:
    """A number from low to high; with `or_none` the word none, too, which is read as None."""

    def read(text: str) -> float | None:
        if or_none and text.strip().lower() == NONE:
            return None
        value = _parse_finite(text)
        if not low <= value <= high:
            raise ValueError(text)
        return value

    schema: dict[str, Any] = {"type": "number"}
    schema |= {} if low == -math.inf else {"minimum": low}
    schema |= {} if high == math.inf else {"maximum": high}
    if or_none:
        schema = {"anyOf": [schema, {"type": "string", "enum": [NONE]}]}
    return FieldType(
        schema=schema, allowed=f"a number{_describe_range(low, high)}{', or none' if or_none else ''}", parse=read
    )


def integer(low: int, high: int) -> FieldType:
    """A whole number from low to high."""

    def read(text: str) -> int:
        value = int(text) if re.fullmatch(r"[+-]?[0-9]{1,20}", text.strip()) else _parse_finite(text)
        if not low <= value <= high or value != int(value):
            raise ValueError(text)
        return int(value)

    schema = {"type": "integer", "minimum": low, "maximum": high}
    return FieldType(schema=schema, allowed=f"a whole number{_describe_range(low, high)}", parse=read)


def choice(*words: str) -> FieldType:
    """One of these words."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    return FieldType(schema={"type": "string", "enum": list(words)}, allowed=f"one of {', '.join(words)}", parse=read)


def comma_list(item_pattern: str, allowed: str, parse_item: Callable[[str], object], max_items: int) -> FieldType:
    """Values with commas between them, each spelled as the regular expression `item_pattern` says."""
    pattern = f"^{item_pattern}(,{item_pattern}){{0,{max_items - 1}}}$"

    def read(text: str) -> tuple[object, ...]:
        if not re.fullmatch(pattern[1:-1], text):
            raise ValueError(text)
        return tuple(parse_item(part) for part in text.split(","))

    return FieldType(schema={"type": "string", "pattern": pattern}, allowed=allowed, parse=read)


def _parse_finite(text: str) -> float:
    if not _NUMBER.fullmatch(text.strip()):
        raise ValueError(text)
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _describe_range(low: float, high: float) -> str:
    match low == -math.inf, high == math.inf:
        case True, True:
            return ""
        case True, False:
            return f" of at most {high:g}"
        case False, True:
            return f" from {low:g}"
    return f" from {low:g} to {high if isinstance(high, int) else format(high, 'g')}"
