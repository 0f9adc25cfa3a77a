"""Fields of forms: a type by msgspec, which validates the text and gives the JSON schema, and a name."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from neuron_whisper.errors import InvalidOption, TextTooLong
from neuron_whisper.option_spec import MAX_TEXT_CHARS, check_text_length

MAX_ECHO_CHARS = 80  # of a rejected value, in the error
MAX_LIST_VALUES = 100
NONE = "none"  # switches a threshold off


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldType:
    """`parse` gives the value of a text and raises ValueError or InvalidOption; `allowed` describes the values.

    `splits_at_commas`: a list of such values may be one text, "word,segment" or '["word", "segment"]'.
    """

    schema: Mapping[str, Any]
    allowed: str
    parse: Callable[[str], object]
    splits_at_commas: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FormField:
    """A field of a form. A list is sent as `name[]`, once for each of its values, or at once with commas between.

    Values are stripped, and a blank one counts as not given: clients send it for a setting that was left empty.

    `option` is the field of TranscribeOptions that it sets, if it sets exactly one.
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
        """The value of a field that was sent (see `is_given`). Raises InvalidOption."""
        sent = self._select_texts(texts)
        if self.is_list:
            if len(sent) > MAX_LIST_VALUES:
                raise InvalidOption(self.name, f"{len(sent)} values", f"at most {MAX_LIST_VALUES}")
            return tuple(self._parse_value(text) for text in sent)
        if len(sent) > 1:
            raise InvalidOption(self.name, f"{len(sent)} values", "send it once")
        return self._parse_value(sent[0])

    def is_given(self, texts: Mapping[str, Sequence[str]]) -> bool:
        return bool(self._select_texts(texts))

    def _select_texts(self, texts: Mapping[str, Sequence[str]]) -> list[str]:
        names = (self.form_name, self.name) if self.is_list else (self.name,)
        sent = [text.strip() for name in names for text in texts.get(name, ())]
        if self.is_list and self.field_type.splits_at_commas:
            sent = [part.strip() for text in sent for part in _split_list(text)]
        return [text for text in sent if text]

    def _parse_value(self, text: str) -> object:
        try:
            check_text_length(self.name, text)
            return self.field_type.parse(text)
        except TextTooLong as error:
            raise error.with_field(self.name) from None
        except (ValueError, msgspec.ValidationError):
            raise InvalidOption(self.name, truncate(text), self.field_type.allowed) from None
        except InvalidOption as error:  # of a parser that suggests close matches
            raise InvalidOption(self.name, truncate(text), error.allowed) from None


def _split_list(text: str) -> list[str]:
    """'word,segment' -> ["word", "segment"], and so '["word", "segment"]', as some clients send a list."""
    if text.startswith("["):
        try:
            return msgspec.json.decode(text, type=list[str])
        except (msgspec.DecodeError, RecursionError):
            return [text]
    return text.split(",")


def truncate(value: str) -> str:
    """A client's value, short enough for an error message."""
    return value if len(value) <= MAX_ECHO_CHARS else value[:MAX_ECHO_CHARS] + "…"


# --- types ----------------------------------------------------------------------------------------


def _convert(annotation: Any, allowed: str, *, splits_at_commas: bool = False) -> FieldType:
    return FieldType(
        schema=msgspec.json.schema(annotation),
        allowed=allowed,
        parse=lambda text: msgspec.convert(text, annotation),
        splits_at_commas=splits_at_commas,
    )


def choice(*words: str, allowed: str | None = None) -> FieldType:
    """One of these words."""
    return _convert(Literal[words], allowed or f"one of {', '.join(words)}", splits_at_commas=True)


def _parse_boolean(text: str) -> bool:
    word = text.strip().lower()
    if word not in ("true", "false", "1", "0"):
        raise ValueError(text)
    return word in ("true", "1")


TEXT = _convert(
    Annotated[str, Meta(max_length=MAX_TEXT_CHARS)],
    f"text of at most {MAX_TEXT_CHARS:,} characters",
)
BOOLEAN = FieldType(
    schema={"anyOf": [msgspec.json.schema(bool), {"enum": [0, 1, "0", "1"]}]},
    allowed="true or false",
    parse=_parse_boolean,
)


def number(annotation: Any, allowed: str, *, or_none: bool = False) -> FieldType:
    """A number of this type, such as Annotated[int, Meta(ge=1)]; with `or_none` the word none, too, for None."""

    def parse(text: str) -> object:
        return None if or_none and text.strip().lower() == NONE else _parse_number(text, annotation)

    schema = msgspec.json.schema(annotation | Literal["none"] if or_none else annotation)
    return FieldType(schema=schema, allowed=allowed, parse=parse)


def _parse_number(text: str, annotation: Any) -> object:
    # msgspec itself takes no " 1", "+1" or ".5"
    value = int(text) if text.strip().lstrip("+-").isdecimal() else float(text)
    if "_" in text or not math.isfinite(value):
        raise ValueError(text)
    return msgspec.convert(value, annotation, strict=False)


def comma_list(item_pattern: str, allowed: str, parse_item: Callable[[str], object], max_items: int) -> FieldType:
    """Comma-separated values, each of which matches the regular expression `item_pattern`."""
    pattern = f"^{item_pattern}(,{item_pattern}){{0,{max_items - 1}}}$"

    def parse(text: str) -> tuple[object, ...]:
        if not re.fullmatch(pattern[1:-1], text):
            raise ValueError(text)
        return tuple(parse_item(part) for part in text.split(","))

    return FieldType(schema={"type": "string", "pattern": pattern}, allowed=allowed, parse=parse)
