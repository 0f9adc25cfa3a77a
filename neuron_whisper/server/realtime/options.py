"""Realtime fields of the options, derived from their declarations: fields of Structs, and the options that they set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from neuron_whisper.errors import InvalidOption
from neuron_whisper.option_spec import OptionKind, OptionSpec, list_option_specs
from neuron_whisper.server.realtime.conversion import JsonObject, join_path

T = TypeVar("T")
S = TypeVar("S", bound=JsonObject)

_TYPES: Mapping[OptionKind, Any] = {
    "text": str,
    "language": str,
    "languages": list[str],
    "boolean": bool,
    "integer": int,
    "number": float,
}


def list_realtime_specs(options_class: type) -> dict[str, OptionSpec]:
    """The options of a class that have a realtime field, by the name of that field."""
    specs = list_option_specs(options_class).values()
    return {spec.realtime_field: spec for spec in specs if spec.realtime_field is not None}


def with_options(
    *options_classes: type, exclude: tuple[str, ...] = (), types: Mapping[str, Any] | None = None
) -> Callable[[type[S]], type[S]]:
    """Class decorator: adds the realtime fields of these options to a Struct, each UNSET by default.

    null means the default of the option. `types` are those of fields whose type differs from that of the option.
    """
    fields = []
    for options_class in options_classes:
        for field, spec in list_realtime_specs(options_class).items():
            if field not in exclude:
                described: Any = Annotated[(types or {}).get(field, _TYPES[spec.kind]), Meta(description=spec.help)]
                fields.append((field, described | None | UnsetType, UNSET))

    def add_fields(struct: type[S]) -> type[S]:
        namespace = {"__doc__": struct.__doc__}
        extended: Any = msgspec.defstruct(
            struct.__name__,
            fields,
            bases=(struct,),
            namespace=namespace,
            module=struct.__module__,
            frozen=True,
            kw_only=True,
        )
        return extended  # type: ignore[no-any-return]  # a subclass of `struct`

    return add_fields


def read_fields(converted: msgspec.Struct, options_class: type) -> dict[str, Any]:
    """The realtime fields of these options that a client set, by their names."""
    values = {field: getattr(converted, field, UNSET) for field in list_realtime_specs(options_class)}
    return {field: value for field, value in values.items() if value is not UNSET}


def create_options(options_class: type[T], values: Mapping[str, Any], path: str = "", **others: Any) -> T:
    """Options with the values of realtime fields; empty ones are defaults. `others` are set by their Python names.

    Raises InvalidOption for the realtime field at fault, its name prefixed with `path`.
    """
    specs = list_realtime_specs(options_class)
    given = {specs[field].name: _to_option(specs[field], value) for field, value in values.items() if _is_given(value)}
    try:
        return options_class(**given, **others)
    except InvalidOption as error:
        fields = {spec.name: field for field, spec in specs.items()}
        raise error.with_field(join_path(path, fields.get(error.field, error.field))) from None


def _is_given(value: object) -> bool:
    return value is not None and value != "" and value != []


def _to_option(spec: OptionSpec, value: Any) -> Any:
    """["Nakamura", "O'Brien"] -> "Nakamura, O'Brien" for a text, "de,en" -> ("de", "en") for languages."""
    match spec.kind, value:
        case "text", list():
            return ", ".join(value)
        case "languages", str():
            return tuple(code.strip() for code in value.split(","))
        case "languages", list():
            return tuple(value)
    return value
