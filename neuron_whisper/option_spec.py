"""The declaration of an option: its type, range, default, help, and its names in other places.

A dataclass of options declares each of its fields with `option(...)`. The flags of the command line, the form fields of
the server, the tables of the documentation and the validation of values follow from that declaration.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from functools import cache
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal

from neuron_whisper.errors import InvalidOption, TextTooLong

OptionKind = Literal[
    "text", "boolean", "integer", "number", "choice", "language", "languages", "temperatures", "times", "token_ids"
]
"""languages: several codes. temperatures: a number or several. times: seconds or their text. token_ids: "-1" or ids."""

SAME = "="  # the name that the option has in Python
FINITE = math.nextafter(math.inf, 0)  # the maximum of a number that must not be infinite
MAX_TEXT_CHARS = 16_384  # of a text, wherever it comes from; more than any prompt that Whisper reads
METADATA_KEY = "neuron_whisper.option"


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionSpec:
    """One option. Names in other places are None where it does not exist.

    `flags` are those of the command line, as click takes them: a flag that begins with --no- sets False.
    `default_note` says what the default does, where the value alone does not. `openai_whisper` and `faster_whisper` are
    keyword arguments of their `transcribe`. A number may have `minimum` and `maximum`, both allowed.
    """

    name: str
    kind: OptionKind
    default: Any
    help: str
    group: str
    minimum: float = -math.inf
    maximum: float = math.inf
    choices: tuple[str, ...] = ()
    is_optional: bool = False
    default_note: str = ""
    metavar: str | None = None
    flags: tuple[str, ...] = ()
    form_field: str | None = None
    realtime_field: str | None = None
    openai_whisper: str | None = None
    faster_whisper: str | None = None
    examples: tuple[Any, ...] = ()

    @property
    def is_switched_off_by_none(self) -> bool:
        """Whether None is a choice of the caller, spelled `none`, and not just the absence of a value."""
        return self.is_optional and self.default is not None

    @property
    def allowed(self) -> str:
        """The values that it may have: "a whole number from 1 to 16"."""
        match self.kind:
            case "boolean":
                text = "true or false"
            case "integer":
                text = f"a whole number{self._describe_range()}"
            case "number":
                text = f"a number{self._describe_range()}"
            case "temperatures":
                text = f"a number{self._describe_range()}, or several that rise"
            case "choice":
                text = f"one of {', '.join(self.choices)}"
            case "language":
                text = "a language's code or English name, such as de or German"
            case "languages":
                text = "codes or English names of languages"
            case "times":
                text = "ascending seconds: start, end, start, end ..., such as 0,12.5"
            case "token_ids":
                text = "token ids; -1: the default set of non-speech symbols"
            case "text":
                text = "text"
        return f"{text}, or none" if self.is_switched_off_by_none else text

    @property
    def default_text(self) -> str:
        """The default as documentation shows it: "2.4", "0,0.2,0.4", "detected"; "" for a switch that is off."""
        if self.default_note:
            return self.default_note
        if self.default in (None, False, ()):
            return ""
        if isinstance(self.default, bool):
            return "true"
        if isinstance(self.default, tuple):
            return ",".join(f"{value:g}" for value in self.default)
        return f"{self.default:g}" if isinstance(self.default, (int, float)) else str(self.default)

    def check(self, value: object) -> None:
        """Raises InvalidOption for a value of another type or out of range, TextTooLong for a long text.

        Languages are not looked up here.
        """
        if value is None and self.is_optional:
            return
        if self.kind == "text" and isinstance(value, str):
            check_text_length(self.name, value)
        if not self._is_allowed(value):
            raise InvalidOption(self.name, list(value) if isinstance(value, tuple) else value, self.allowed)

    def _is_allowed(self, value: object) -> bool:
        match self.kind:
            case "boolean":
                return isinstance(value, bool)
            case "integer":
                return isinstance(value, int) and not isinstance(value, bool) and self._is_in_range(value)
            case "number":
                return isinstance(value, (int, float)) and not isinstance(value, bool) and self._is_in_range(value)
            case "choice":
                return value in self.choices
            case "text" | "language":
                return isinstance(value, str)
            case "languages":
                return isinstance(value, (tuple, list)) and all(isinstance(code, str) for code in value)
            case "token_ids":
                return isinstance(value, (str, tuple, list))
            case "temperatures":
                return not isinstance(value, str) and self._are_in_range(value)
            case "times":
                return self._are_in_range(value)

    def _are_in_range(self, value: object) -> bool:
        """Whether it is a number or several that rise, none of them out of range."""
        return _is_ascending(value) and all(map(self._is_in_range, to_numbers(value)))

    def _is_in_range(self, value: float) -> bool:
        return self.minimum <= value <= self.maximum

    def _describe_range(self) -> str:
        match self.minimum == -math.inf, self.maximum >= FINITE:
            case True, True:
                return ""
            case True, False:
                return f" of at most {self.maximum:g}"
            case False, True:
                return f" from {self.minimum:g}"
        return f" from {self.minimum:g} to {_format_limit(self.maximum)}"


def option(
    default: Any,
    kind: OptionKind,
    help: str,
    *,
    group: str = "",
    flags: tuple[str, ...] = (),
    form_field: str | None = None,
    openai_whisper: str | None = None,
    faster_whisper: str | None = None,
    **more: Any,
) -> Any:
    """A dataclass field with an OptionSpec, whose fields the other arguments are. SAME is the option's own name.

    The option accepts None if that is its default, or with `is_optional`.
    """
    return field(
        default=default,
        metadata={
            METADATA_KEY: {
                "kind": kind,
                "help": help,
                "group": group,
                "flags": flags,
                "form_field": form_field,
                "openai_whisper": openai_whisper,
                "faster_whisper": faster_whisper,
                "is_optional": default is None,
                **more,
            }
        },
    )


def whisper_option(default: Any, kind: OptionKind, help: str, **more: Any) -> Any:
    """An option that openai-whisper and faster-whisper have under the same name."""
    return option(default, kind, help, openai_whisper=SAME, faster_whisper=SAME, **more)


@cache
def list_option_specs(options_class: type) -> Mapping[str, OptionSpec]:
    """The options that a dataclass declares, by name, in the order of its fields."""
    declared = [each for each in fields(options_class) if METADATA_KEY in each.metadata]
    return MappingProxyType({each.name: _create_spec(each) for each in declared})


def _create_spec(declared: Field[Any]) -> OptionSpec:
    name = declared.name
    values: dict[str, Any] = {key: name if it == SAME else it for key, it in declared.metadata[METADATA_KEY].items()}
    values["flags"] = tuple(f"--{name.replace('_', '-')}" if it == SAME else it for it in values["flags"])
    return OptionSpec(name=name, default=declared.default, **values)


def check_text_length(field: str, text: str) -> None:
    """Raises TextTooLong for more than MAX_TEXT_CHARS: to encode it would take seconds and gigabytes."""
    if len(text) > MAX_TEXT_CHARS:
        raise TextTooLong(field, len(text), MAX_TEXT_CHARS)


def check_options(options: object) -> None:
    """Checks every declared option of an instance. Raises InvalidOption."""
    for spec in list_option_specs(type(options)).values():  # type: ignore[arg-type]  # mypy takes the class for its instance
        spec.check(getattr(options, spec.name))


def parse_numbers(text: str) -> tuple[float, ...]:
    """ "0, 12.5" -> (0.0, 12.5), "" -> (). Raises ValueError."""
    return tuple(float(part) for part in text.split(",")) if text.strip() else ()


def to_numbers(value: Any) -> tuple[float, ...]:
    """The numbers of one, of several, or of a text of them. Raises ValueError, TypeError."""
    if isinstance(value, str):
        return parse_numbers(value)
    if isinstance(value, (int, float)):
        return (float(value),)
    if isinstance(value, bytes) or any(isinstance(each, str) for each in value):
        raise TypeError("not numbers")
    return tuple(float(each) for each in value)


def _is_ascending(value: object) -> bool:
    """Whether it is a number, a sequence of numbers that rise, or a text of these."""
    try:
        numbers = to_numbers(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return all(before < after for before, after in pairwise(numbers))


def _format_limit(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"
