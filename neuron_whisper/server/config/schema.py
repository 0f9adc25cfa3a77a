"""A setting as a dataclass field: its type and range, and how it is parsed from text and from TOML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from neuron_whisper.errors import InvalidOption

METADATA_KEY = "setting"
SIZE_UNITS = {"": 1, "B": 1, "KB": 1024, "KIB": 1024, "MB": 1024**2, "MIB": 1024**2, "GB": 1024**3, "GIB": 1024**3}
TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingInfo:
    """The metadata of a setting. `flag`: the flag's name without dashes where it differs from the field's."""

    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    flag: str | None = None
    is_secret: bool = False


def setting(
    default: Any,
    description: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    flag: str | None = None,
    is_secret: bool = False,
) -> Any:
    """A dataclass field that flags, environment and file can set, and that `check_settings` validates.

    The annotation is one of str, int, float, bool, Path, tuple[str, ...] and the first four with `| None`. A field
    whose name ends in `_bytes` takes sizes such as 25MB. Numbers need `low` and `high`; both are allowed.
    """
    about = SettingInfo(description=description, low=low, high=high, choices=choices, flag=flag, is_secret=is_secret)
    return field(default=default, metadata={METADATA_KEY: about})


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingSpec:
    """A setting of a settings class."""

    name: str
    value_type: type  # str, int, float, bool, Path or tuple
    is_optional: bool
    default: Any
    info: SettingInfo

    @property
    def flag(self) -> str:
        """max_upload_bytes -> --max-upload-bytes, or as its declaration says."""
        return f"--{self.info.flag or self.name.replace('_', '-')}"

    @property
    def is_size(self) -> bool:
        return self.value_type is int and self.name.endswith("_bytes")

    @property
    def allowed_values(self) -> str:
        """The allowed values in words, for error messages."""
        about = self.info
        if about.choices:
            description = f"one of {', '.join(about.choices)}"
        elif self.value_type is bool:
            description = "true or false"
        elif self.value_type in (int, float):
            whole = "a whole number" if self.value_type is int else "a number"
            description = f"{whole} from {about.low:g} to {about.high:g}" if about.low is not None else whole
            description += ", or a size such as 25MB" if self.is_size else ""
        else:
            shapes: dict[type, str] = {Path: "a path", tuple: "a list of texts, in text with commas between"}
            description = shapes.get(self.value_type, "text")
        return description

    def from_text(self, text: str) -> Any:
        """Parse the text of a flag or an environment variable. Raises InvalidOption."""
        text = text.strip()
        try:
            if self.value_type is bool:
                if text.lower() not in TRUE + FALSE:
                    raise ValueError
                return text.lower() in TRUE
            if self.value_type is tuple:
                return tuple(part.strip() for part in text.split(",") if part.strip())
            if self.is_size:
                return parse_size(text)
            return self.value_type(text)
        except ValueError:
            raise InvalidOption(self.name, self.redact(text), self.allowed_values) from None

    def from_toml(self, value: object) -> Any:
        """Convert a value of a TOML file. Raises InvalidOption where its type is wrong."""
        if isinstance(value, str) and (self.value_type is Path or self.is_size):
            return self.from_text(value)
        if self.value_type is float and type(value) is int:
            return float(value)
        if self.value_type is tuple and isinstance(value, list) and all(isinstance(part, str) for part in value):
            return tuple(value)
        if type(value) is not self.value_type or self.value_type is Path:
            raise InvalidOption(self.name, self.redact(value), self.allowed_values)
        return value

    def check(self, value: Any) -> None:
        """Raises InvalidOption for a value of the wrong type or out of its range."""
        about = self.info
        if value is None and self.is_optional:
            return
        is_number = self.value_type is float and type(value) is int
        if not is_number and not (
            isinstance(value, self.value_type) and isinstance(value, bool) == (self.value_type is bool)
        ):
            raise InvalidOption(self.name, self.redact(value), self.allowed_values)
        if about.low is not None and about.high is not None and not about.low <= value <= about.high:
            raise InvalidOption(self.name, self.redact(value), self.allowed_values)
        if about.choices and value not in about.choices:
            raise InvalidOption(self.name, self.redact(value), self.allowed_values)

    def redact(self, value: object) -> object:
        """`value`, or stars where it is a secret."""
        return "***" if self.info.is_secret else value


def parse_size(text: str) -> int:
    """ "25MB" -> 26_214_400: units of 1024, as OpenAI's limit of 25 MB is counted. Raises ValueError."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)", text)
    if match is None or match[2].upper() not in SIZE_UNITS:
        raise ValueError(text)
    return int(float(match[1]) * SIZE_UNITS[match[2].upper()])


def list_setting_specs(settings_class: type) -> dict[str, SettingSpec]:
    """The settings of a settings class by name, in order of declaration."""
    hints = get_type_hints(settings_class)
    return {
        each.name: _build_spec(each, hints[each.name])
        for each in fields(settings_class)
        if METADATA_KEY in each.metadata
    }


def check_settings(settings: Any) -> None:
    """Raises InvalidOption for the first invalid setting."""
    for knob in list_setting_specs(type(settings)).values():
        knob.check(getattr(settings, knob.name))


def _build_spec(each: Field[Any], hint: Any) -> SettingSpec:
    kinds = list(_flatten_union(hint))
    (kind,) = (it for it in kinds if it is not NoneType)
    assert each.default is not MISSING
    return SettingSpec(
        name=each.name,
        value_type=kind,
        is_optional=NoneType in kinds,
        default=each.default,
        info=each.metadata[METADATA_KEY],
    )


def _flatten_union(hint: Any) -> Iterator[type]:
    if get_origin(hint) is UnionType:
        for part in get_args(hint):
            yield from _flatten_union(part)
    else:
        yield get_origin(hint) or hint
