"""Types, ranges and conversion of settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from neuron_whisper.errors import InvalidOption
from neuron_whisper.server.config.schema import SettingSpec, check_settings, list_setting_specs, parse_size


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One setting of each type."""

    name: Annotated[str | None, Meta(description="A name.")] = None
    mode: Annotated[Literal["fast", "slow"], Meta(description="A choice.")] = "fast"
    port: Annotated[int, Meta(ge=1, le=100, description="A number.")] = 80
    copies: Annotated[Annotated[int, Meta(ge=1, le=9)] | None, Meta(description="An optional number.")] = None
    max_bytes: Annotated[int, Meta(ge=1, le=1024**3, description="A size.", extra={"flag": "max"})] = 1024
    wait_s: Annotated[float, Meta(ge=0, le=10, description="Seconds.")] = 1.5
    is_on: Annotated[bool, Meta(description="A switch.")] = False
    where: Annotated[Path | None, Meta(description="A path.")] = None
    origins: Annotated[tuple[str, ...], Meta(description="A list.")] = ()
    key: Annotated[str | None, Meta(description="A secret.", extra={"is_secret": True})] = None

    def __post_init__(self) -> None:
        check_settings(self)


SPECS = list_setting_specs(Sample)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("name", " n ", " n "),
        ("mode", "slow", "slow"),
        ("port", " 7 ", 7),
        ("copies", "3", 3),
        ("max_bytes", "2MB", 2 * 1024**2),
        ("max_bytes", "1.5 KiB", 1536),
        ("wait_s", "2", 2.0),
        ("wait_s", "1e0", 1.0),
        ("is_on", "yes", True),
        ("is_on", "On", True),
        ("is_on", "false", False),
        ("is_on", "0", False),
        ("where", "/x", Path("/x")),
        ("origins", "a, b,", ("a", "b")),
        ("origins", "", ()),
    ],
)
def test_convert_reads_text_of_flags_and_variables(name: str, text: str, value: object) -> None:
    converted = SPECS[name].convert(text, is_text=True)
    assert converted == value
    assert type(converted) is type(value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("port", "eighty"),
        ("port", "0"),
        ("port", "101"),
        ("port", "1_0"),
        ("port", ""),
        ("copies", "0"),
        ("wait_s", "nan"),
        ("wait_s", "inf"),
        ("wait_s", "10.1"),
        ("mode", "medium"),
        ("is_on", "perhaps"),
        ("max_bytes", "2 parsecs"),
        ("max_bytes", "2GB"),
    ],
)
def test_convert_rejects_text_with_what_is_allowed(name: str, text: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        SPECS[name].convert(text, is_text=True)
    assert (caught.value.field, caught.value.value, caught.value.allowed) == (name, text, SPECS[name].allowed_values)


@pytest.mark.parametrize(
    ("name", "value"),
    [("port", "80"), ("port", 8.5), ("port", True), ("is_on", 1), ("origins", [1]), ("name", 3), ("where", 3)],
)
def test_convert_rejects_a_toml_value_of_another_type(name: str, value: object) -> None:
    with pytest.raises(InvalidOption):
        SPECS[name].convert(value)


@pytest.mark.parametrize(
    ("name", "value", "converted"),
    [("wait_s", 2, 2.0), ("max_bytes", "2MB", 2 * 1024**2), ("origins", ["a"], ("a",)), ("origins", "a", ("a",))],
)
def test_convert_reads_toml_values(name: str, value: object, converted: object) -> None:
    assert SPECS[name].convert(value) == converted


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("name", "text"),
        ("mode", "one of fast, slow"),
        ("port", "a whole number from 1 to 100"),
        ("copies", "a whole number from 1 to 9"),
        ("max_bytes", "a whole number from 1 to 1.07374e+09, or a size such as 25MB"),
        ("wait_s", "a number from 0 to 10"),
        ("is_on", "true or false"),
        ("where", "a path"),
        ("origins", "a list of texts, in text with commas between"),
    ],
)
def test_allowed_values_describe_each_type(name: str, allowed: str) -> None:
    assert SPECS[name].allowed_values == allowed


def test_a_flag_is_the_fields_name_unless_declared_otherwise() -> None:
    assert (SPECS["wait_s"].flag, SPECS["max_bytes"].flag) == ("--wait-s", "--max")


def test_a_secret_is_redacted_in_the_error() -> None:
    with pytest.raises(InvalidOption) as caught:
        SPECS["key"].convert(5551234)
    assert "5551234" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong", [{"port": 0}, {"port": "80"}, {"mode": "x"}, {"wait_s": float("nan")}, {"copies": 10}]
)
def test_construction_validates_every_field(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption) as caught:
        Sample(**wrong)
    assert caught.value.field in wrong


@given(st.integers(1, 1024**3))
def test_parse_size_of_plain_bytes_is_the_number(size: int) -> None:
    assert parse_size(str(size)) == size


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_every_default_is_valid(spec: SettingSpec) -> None:
    assert spec.default is None or spec.convert(spec.default) == spec.default
