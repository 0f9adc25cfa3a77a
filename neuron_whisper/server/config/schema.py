"""A setting as a dataclass field: what it may be, and how it is read from text and from TOML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from neuron_whisper.errors import InvalidOption

KEY = "setting"
UNITS = {"": 1, "B": 1, "KB": 1024, "KIB": 1024, "MB": 1024**2, "MIB": 1024**2, "GB": 1024**3, "GIB": 1024**3}
TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a field's declaration says. `flag` is the name without its dashes where it is not the field's own."""

    text: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    flag: str | None = None
    is_secret: bool = False


def setting(
    default: Any,
    text: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    flag: str | None = None,
    is_secret: bool = False,
) -> Any:
    """A dataclass field that flags, environment and file can set, and that is checked where it is made.

    The annotation is one of str, int, float, bool, Path, tuple[str, ...] and the first four with `| None`. A field
    whose name ends in `_bytes` takes sizes such as 25MB. Numbers need `low` and `high`; both are allowed.
    """
    about = About(text=text, low=low, high=high, choices=choices, flag=flag, is_secret=is_secret)
    return field(default=default, metadata={KEY: about})


@dataclass(frozen=True, slots=True, kw_only=True)
class Knob:
    """A setting of a settings class."""

    name: str
    kind: type  # str, int, float, bool, Path or tuple
    may_be_none: bool
    default: Any
    about: About

    @property
    def flag(self) -> str:
        """max_upload_bytes -> --max-upload-bytes, or as its declaration says."""
        return f"--{self.about.flag or self.name.replace('_', '-')}"

    @property
    def is_size(self) -> bool:
        return self.kind is int and self.name.endswith("_bytes")

    @property
    def allowed(self) -> str:
        """What it may be, for people."""
        about = self.about
        if about.choices:
            told = f"one of {', '.join(about.choices)}"
        elif self.kind is bool:
            told = "true or false"
        elif self.kind in (int, float):
            whole = "a whole number" if self.kind is int else "a number"
            told = f"{whole} from {about.low:g} to {about.high:g}" if about.low is not None else whole
            told += ", or a size such as 25MB" if self.is_size else ""
        else:
            shapes: dict[type, str] = {Path: "a path", tuple: "a list of texts, in text with commas between"}
            told = shapes.get(self.kind, "text")
        return told

    def read(self, text: str) -> Any:
        """The value that a flag or the environment gives as text. Raises InvalidOption."""
        text = text.strip()
        try:
            if self.kind is bool:
                if text.lower() not in TRUE + FALSE:
                    raise ValueError
                return text.lower() in TRUE
            if self.kind is tuple:
                return tuple(part.strip() for part in text.split(",") if part.strip())
            if self.is_size:
                return size(text)
            return self.kind(text)
        except ValueError:
            raise InvalidOption(self.name, self.shown(text), self.allowed) from None

    def take(self, value: object) -> Any:
        """The value that a TOML file gives. Raises InvalidOption when it is of another type."""
        if isinstance(value, str) and (self.kind is Path or self.is_size):
            return self.read(value)
        if self.kind is float and type(value) is int:
            return float(value)
        if self.kind is tuple and isinstance(value, list) and all(isinstance(part, str) for part in value):
            return tuple(value)
        if type(value) is not self.kind or self.kind is Path:
            raise InvalidOption(self.name, self.shown(value), self.allowed)
        return value

    def check(self, value: Any) -> None:
        """Raises InvalidOption for a value of the wrong type or out of its range."""
        about = self.about
        if value is None and self.may_be_none:
            return
        is_number = self.kind is float and type(value) is int
        if not is_number and not (isinstance(value, self.kind) and isinstance(value, bool) == (self.kind is bool)):
            raise InvalidOption(self.name, self.shown(value), self.allowed)
        if about.low is not None and about.high is not None and not about.low <= value <= about.high:
            raise InvalidOption(self.name, self.shown(value), self.allowed)
        if about.choices and value not in about.choices:
            raise InvalidOption(self.name, self.shown(value), self.allowed)

    def shown(self, value: object) -> object:
        """`value`, or stars where it is nobody's business."""
        return "***" if self.about.is_secret else value


def size(text: str) -> int:
    """ "25MB" -> 26_214_400: units of 1024, as OpenAI's limit of 25 MB is counted. Raises ValueError."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)", text)
    if match is None or match[2].upper() not in UNITS:
        raise ValueError(text)
    return int(float(match[1]) * UNITS[match[2].upper()])


def knobs(settings: type) -> dict[str, Knob]:
    """The settings of a settings class, by name, in its order."""
    hints = get_type_hints(settings)
    return {each.name: _knob(each, hints[each.name]) for each in fields(settings) if KEY in each.metadata}


def check_settings(made: Any) -> None:
    """Raises InvalidOption for the first setting of a settings object that it may not be."""
    for knob in knobs(type(made)).values():
        knob.check(getattr(made, knob.name))


def _knob(each: Field[Any], hint: Any) -> Knob:
    kinds = list(_kinds(hint))
    (kind,) = (it for it in kinds if it is not NoneType)
    assert each.default is not MISSING
    return Knob(
        name=each.name, kind=kind, may_be_none=NoneType in kinds, default=each.default, about=each.metadata[KEY]
    )


def _kinds(hint: Any) -> Iterator[type]:
    if get_origin(hint) is UnionType:
        for part in get_args(hint):
            yield from _kinds(part)
    else:
        yield get_origin(hint) or hint
