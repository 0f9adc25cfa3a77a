"""Converts a client's JSON objects and query parameters to Structs; an error names the field by its path."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, TypeVar

import msgspec
from msgspec import UNSET
from msgspec import inspect as types

from neuron_whisper.errors import InvalidOption, MissingOption, UnknownOption
from neuron_whisper.server.http import field_types

T = TypeVar("T")

# what msgspec expected, in the words of the other errors
_DESCRIPTIONS: Mapping[str, str] = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
}
_MESSAGE_AND_PATH = re.compile(r"(.*) - at `\$([^`]*)`", re.DOTALL)
_PATH_STEP = re.compile(r"\.([^.[]+)|\[(\d+)\]")
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING_FIELD = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_EXPECTED = re.compile(r"Expected `([^`]*)`(, got .*)?", re.DOTALL)

_abbreviated = reprlib.Repr()
_abbreviated.maxstring = _abbreviated.maxother = field_types.MAX_ECHO_CHARS


class JsonObject(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An object that a client sends. `unsupported` maps fields of OpenAI's API to the reason why they cannot be set."""

    unsupported: ClassVar[Mapping[str, str]] = {}


def convert(value: object, target: type[T], path: str = "", *, strict: bool = True, kind: str = "field") -> T:
    """Convert a decoded object to a Struct; without `strict`, text is parsed as numbers and booleans.

    Raises InvalidOption, MissingOption or UnknownOption for the field at fault, its name prefixed with `path`.
    """
    try:
        converted = msgspec.convert(value, target, strict=strict)
    except msgspec.ValidationError as error:
        raise _to_option_error(str(error), value, target, path, kind) from None
    _reject_unsupported(converted, path)
    return converted


def truncate_value(value: object) -> object:
    """A client's value as an error message may repeat it."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return field_types.truncate(value if isinstance(value, str) else _abbreviated.repr(value))


def _reject_unsupported(converted: object, path: str) -> None:
    if not isinstance(converted, msgspec.Struct):
        return
    reasons = converted.unsupported if isinstance(converted, JsonObject) else {}
    for name in converted.__struct_fields__:
        value, field = getattr(converted, name), join_path(path, name)
        if name in reasons and value is not UNSET and value is not None and value is not False:
            raise InvalidOption(field, truncate_value(value), f"not supported here: {reasons[name]}")
        _reject_unsupported(value, field)


def _to_option_error(message: str, value: object, target: Any, path: str, kind: str) -> InvalidOption:
    match = _MESSAGE_AND_PATH.fullmatch(message)
    message, location = match.groups() if match else (message, "")
    field = join_path(path, location.removeprefix("."))
    steps = [name or int(index) for name, index in _PATH_STEP.findall(location)]
    if unknown := _UNKNOWN_FIELD.fullmatch(message):
        known = [join_path(field, name) for name in _field_names(_type_at(target, steps))]
        return UnknownOption(join_path(field, field_types.truncate(unknown[1])), known, kind=kind)
    if missing := _MISSING_FIELD.fullmatch(message):
        return MissingOption(join_path(field, missing[1]), f"send it as a {kind}")
    for step in steps:
        value = value[step]  # type: ignore[index]  # the path of an error lies in the value
    return InvalidOption(field, truncate_value(value), _describe_expected(message, _type_at(target, steps)))


def _describe_expected(message: str, expected: list[types.Type]) -> str:
    if choices := [str(choice) for it in expected if isinstance(it, types.LiteralType) for choice in it.values]:
        return choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    if match := _EXPECTED.fullmatch(message):
        kinds = [_DESCRIPTIONS.get(kind, kind) for kind in match[1].split(" | ") if kind != "null"]
        return " or ".join(kinds)
    return "base64" if "base64" in message else message


@cache
def _type_info(target: Any) -> types.Type:
    return types.type_info(target)


def _type_at(target: Any, steps: list[str | int]) -> list[types.Type]:
    """The types that a value at this path may have."""
    found = _members(_type_info(target))
    for step in steps:
        inner: list[types.Type] = []
        for it in found:
            if isinstance(it, types.StructType):
                inner += [member for field in it.fields if field.encode_name == step for member in _members(field.type)]
            elif isinstance(it, types.ListType):
                inner += _members(it.item_type)
        found = inner
    return found


def _members(info: types.Type) -> list[types.Type]:
    return list(info.types) if isinstance(info, types.UnionType) else [info]


def _field_names(found: list[types.Type]) -> list[str]:
    return [field.encode_name for it in found if isinstance(it, types.StructType) for field in it.fields]


def join_path(path: str, name: str) -> str:
    """("session", "audio") -> "session.audio"; either may be empty."""
    return f"{path}.{name}" if path and name else path or name
