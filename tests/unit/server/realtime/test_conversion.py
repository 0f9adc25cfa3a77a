"""Conversion of clients' JSON objects to Structs, and the errors for what does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import msgspec
import pytest

from neuron_whisper.errors import InvalidOption, MissingOption, UnknownOption
from neuron_whisper.server.realtime.conversion import JsonObject, convert, truncate_value


class Format(JsonObject, frozen=True, kw_only=True):
    type: Literal["pcm", "ulaw"] = "pcm"
    rate: int | None = None
    gain: Any = None
    unsupported: ClassVar[Mapping[str, str]] = {"gain": "levels are normalised"}


class Session(JsonObject, frozen=True, kw_only=True):
    format: Format = Format()
    names: list[str] | None = None
    threshold: float = 0.5
    audio: bytes = b""
    is_live: bool = False


class Event(msgspec.Struct):
    session: Session


def error_of(value: object, path: str = "session", **options: Any) -> InvalidOption:
    with pytest.raises(InvalidOption) as error:
        convert(value, Session, path, **options)
    return error.value


def test_an_object_that_fits_is_converted() -> None:
    session = convert({"format": {"rate": 8000}, "names": ["a"]}, Session)
    assert (session.format.rate, session.names, session.threshold) == (8000, ["a"], 0.5)


@pytest.mark.parametrize(
    ("value", "field", "found", "allowed"),
    [
        ([], "session", "[]", "an object"),
        ({"format": 7}, "session.format", 7, "an object"),
        ({"format": {"rate": "8000"}}, "session.format.rate", "8000", "a whole number"),
        ({"format": {"rate": 8000.5}}, "session.format.rate", 8000.5, "a whole number"),
        ({"format": {"type": "opus"}}, "session.format.type", "opus", "one of pcm, ulaw"),
        ({"names": ["a", 7]}, "session.names[1]", 7, "text"),
        ({"names": "a"}, "session.names", "a", "a list"),
        ({"threshold": True}, "session.threshold", True, "a number"),
        ({"is_live": "yes"}, "session.is_live", "yes", "true or false"),
        ({"audio": "!!"}, "session.audio", "!!", "base64"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_its_path(
    value: object, field: str, found: object, allowed: str
) -> None:
    error = error_of(value)
    assert (error.field, error.value, error.allowed) == (field, found, allowed)


@pytest.mark.parametrize("name", ["typ", "a.b", "a`b", "x - at `$.format`"])
def test_an_unknown_field_is_refused_by_its_name(name: str) -> None:
    error = error_of({"format": {name: 1}})
    assert isinstance(error, UnknownOption)
    assert error.field == f"session.format.{name}"


def test_the_nearest_known_field_is_suggested() -> None:
    assert "session.format.rate" in str(error_of({"format": {"ratte": 1}}))


def test_a_missing_field_is_named() -> None:
    with pytest.raises(MissingOption) as error:
        convert({}, Event)
    assert error.value.field == "session"


@pytest.mark.parametrize("gain", [None, False])
def test_an_unsupported_field_may_be_off(gain: object) -> None:
    assert convert({"format": {"gain": gain}}, Session).format.type == "pcm"


def test_an_unsupported_field_is_refused_with_the_reason() -> None:
    error = error_of({"format": {"gain": 2}})
    assert (error.field, error.value) == ("session.format.gain", 2)
    assert "levels are normalised" in error.allowed


def test_query_parameters_are_parsed_from_text() -> None:
    query = convert({"threshold": "0.25", "is_live": "true"}, Session, strict=False)
    assert (query.threshold, query.is_live) == (0.25, True)
    assert error_of({"threshold": "high"}, "", strict=False).field == "threshold"


@pytest.mark.parametrize("value", ["x" * 10_000, ["x" * 10_000] * 100, {str(n): n for n in range(10_000)}])
def test_a_long_value_is_repeated_in_part(value: object) -> None:
    assert len(str(truncate_value(value))) <= 81


def test_a_deeply_nested_value_is_repeated_in_part() -> None:
    value: list[Any] = []
    for _ in range(900):
        value = [value]
    assert len(str(truncate_value(value))) <= 81
