"""The settings of a settings class: type, range, help text, and conversion of values from text and TOML by msgspec."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from neuron_whisper.errors import InvalidOption

SIZE_UNITS = {"": 1, "B": 1, "KB": 1024, "KIB": 1024, "MB": 1024**2, "MIB": 1024**2, "GB": 1024**3, "GIB": 1024**3}
BOOLEAN_WORDS = {"yes": "true", "on": "true", "no": "false", "off": "false"}  # in addition to JSON's


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingSpec:
    """One field of a settings class, which is a msgspec.Struct.

    Its annotation is Annotated[TYPE, Meta(description=...)]. TYPE is str, int, float, bool, Path, tuple[str, ...] or a
    Literal of strings, each also with `| None`. A number has `ge` and `le`, in an Annotated of its own where it may be
    None; an int whose name ends in `_bytes` takes sizes such as 25MB. `Meta.extra`: `flag` is the flag's name where it
    is not the field's, `is_secret` hides the value.
    """

    name: str
    annotation: Any
    default: Any

    @property
    def _meta(self) -> msgspec.Meta:
        (meta,) = self.annotation.__metadata__
        assert isinstance(meta, msgspec.Meta)
        return meta

    @property
    def description(self) -> str:
        return self._meta.description or ""

    @property
    def flag(self) -> str:
        """max_upload_bytes -> --max-upload-bytes, unless its declaration has another."""
        return f"--{(self._meta.extra or {}).get('flag') or self.name.replace('_', '-')}"

    @property
    def is_secret(self) -> bool:
        return bool((self._meta.extra or {}).get("is_secret"))

    @property
    def value_type(self) -> type:
        """str, int, float, bool, Path or tuple."""
        base = self._base
        origin = get_origin(base)
        value_type: type = base.__origin__ if origin is Annotated else str if origin is Literal else origin or base
        return value_type

    @property
    def _base(self) -> Any:
        """The annotation without its Meta and without None."""
        base = self.annotation.__origin__
        if get_origin(base) not in (Union, UnionType):  # a Union where a member is Annotated
            return base
        (member,) = (it for it in get_args(base) if it is not NoneType)
        return member

    @property
    def choices(self) -> tuple[str, ...]:
        """The allowed words of a Literal, empty for other types."""
        return get_args(self._base) if get_origin(self._base) is Literal else ()

    @property
    def range(self) -> tuple[float, float] | None:
        """Least and greatest value of a number, both allowed."""
        meta = self._base.__metadata__[0] if get_origin(self._base) is Annotated else self._meta
        low, high = meta.ge, meta.le
        return (low, high) if low is not None and high is not None else None

    @property
    def is_size(self) -> bool:
        return self.value_type is int and self.name.endswith("_bytes")

    @property
    def allowed_values(self) -> str:
        """The allowed values in words, for error messages and documentation."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        words: dict[type, str] = {
            bool: "true or false",
            int: "a whole number",
            float: "a number",
            Path: "a path",
            tuple: "a list of texts, in text with commas between",
        }
        description = words.get(self.value_type, "text")
        if self.range is not None:
            description += f" from {self.range[0]:g} to {self.range[1]:g}"
        return description + (", or a size such as 25MB" if self.is_size else "")

    def convert(self, value: object, *, is_text: bool = False) -> Any:
        """The validated value. `is_text`: of a flag or a variable, so that "80" is a number. Raises InvalidOption."""
        try:
            prepared = self._split_or_scale(value, is_text) if isinstance(value, str) else value
            return msgspec.convert(prepared, self.annotation, strict=not is_text, dec_hook=_to_path)
        except (msgspec.ValidationError, ValueError):
            raise InvalidOption(self.name, self.redact(value), self.allowed_values) from None

    def _split_or_scale(self, text: str, is_text: bool) -> object:
        if self.value_type is tuple:
            return tuple(part.strip() for part in text.split(",") if part.strip())
        if self.is_size:
            return parse_size(text.strip())
        if not is_text or self.value_type in (str, Path):
            return text
        word = text.strip().lower()
        return BOOLEAN_WORDS.get(word, word) if self.value_type is bool else word

    def redact(self, value: object) -> object:
        """`value`, or stars where it is a secret."""
        return "***" if self.is_secret else value


def parse_size(text: str) -> int:
    """ "25MB" -> 26_214_400: units of 1024, as OpenAI's limit of 25 MB is counted. Raises ValueError."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)", text)
    if match is None or match[2].upper() not in SIZE_UNITS:
        raise ValueError(text)
    return int(float(match[1]) * SIZE_UNITS[match[2].upper()])


def list_setting_specs(settings_class: type[msgspec.Struct]) -> dict[str, SettingSpec]:
    """The settings of a class by name, in order of declaration."""
    return {
        field.name: SettingSpec(name=field.name, annotation=field.type, default=field.default)
        for field in msgspec.structs.fields(settings_class)
    }


def check_settings(settings: msgspec.Struct) -> None:
    """Validate every field, as msgspec does not on construction. Raises InvalidOption for the first invalid one."""
    for name, spec in list_setting_specs(type(settings)).items():
        value = getattr(settings, name)
        if value != spec.default:
            spec.convert(value)


def _to_path(value_type: type, value: object) -> object:
    if value_type is Path and isinstance(value, str | Path):
        return Path(value)
    raise ValueError(value)
