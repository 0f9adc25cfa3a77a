"""Types of form fields."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from neuron_whisper.errors import InvalidOption, TextTooLong
from neuron_whisper.option_spec import MAX_TEXT_CHARS
from neuron_whisper.server.http.field_types import (
    BOOLEAN,
    MAX_ECHO_CHARS,
    MAX_LIST_VALUES,
    TEXT,
    FieldType,
    FormField,
    choice,
    comma_list,
    number,
    truncate,
)

COUNT = number(Annotated[int, Meta(ge=0, le=2**63 - 1)], "a count")
RATIO = number(Annotated[float, Meta(ge=0, le=1)], "a ratio")
THRESHOLD = number(Annotated[float, Meta(le=0)], "a threshold", or_none=True)
TIMES = comma_list(r"[0-9]{1,3}", "numbers", int, 3)


def parse(field_type: FieldType, *texts: str, is_list: bool = False) -> Any:
    field = FormField(name="x", field_type=field_type, description="X.", is_list=is_list)
    return field.parse({field.form_name: list(texts)})


@pytest.mark.parametrize(
    ("field_type", "text", "value"),
    [
        (TEXT, " a ", "a"),
        (BOOLEAN, "1", True),
        (BOOLEAN, " 0", False),
        (choice("a", "b"), " b\n", "b"),
        (BOOLEAN, " True ", True),
        (BOOLEAN, "false", False),
        (COUNT, str(2**63 - 1), 2**63 - 1),
        (COUNT, " +2.0 ", 2),
        (RATIO, ".5", 0.5),
        (RATIO, "1e-1", 0.1),
        (THRESHOLD, "-2", -2.0),
        (THRESHOLD, "None", None),
        (choice("a", "b"), "b", "b"),
        (TIMES, "1,22,333", (1, 22, 333)),
    ],
)
def test_a_text_is_parsed(field_type: FieldType, text: str, value: object) -> None:
    parsed = parse(field_type, text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("field_type", "text"),
    [
        (BOOLEAN, "2"),
        (BOOLEAN, "yes"),
        (COUNT, "-1"),
        (COUNT, "2.5"),
        (COUNT, str(2**63)),
        (COUNT, "1_0"),
        (RATIO, "1.01"),
        (RATIO, "nan"),
        (RATIO, "none"),
        (THRESHOLD, "-inf"),
        (THRESHOLD, "off"),
        (choice("a", "b"), "c"),
        (TIMES, "1,2,3,4"),
        (TIMES, "1,,2"),
    ],
)
def test_an_invalid_text_is_rejected_with_what_is_allowed(field_type: FieldType, text: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        parse(field_type, text)
    assert (caught.value.field, caught.value.value, caught.value.allowed) == ("x", truncate(text), field_type.allowed)


@pytest.mark.parametrize(
    ("field_type", "schema"),
    [
        (TEXT, {"type": "string", "maxLength": MAX_TEXT_CHARS}),
        (BOOLEAN, {"anyOf": [{"type": "boolean"}, {"enum": [0, 1, "0", "1"]}]}),
        (RATIO, {"type": "number", "minimum": 0, "maximum": 1}),
        (THRESHOLD, {"anyOf": [{"type": "number", "maximum": 0}, {"enum": ["none"]}]}),
        (choice("b", "a"), {"enum": ["a", "b"]}),
        (TIMES, {"type": "string", "pattern": "^[0-9]{1,3}(,[0-9]{1,3}){0,2}$"}),
    ],
)
def test_a_type_has_its_json_schema(field_type: FieldType, schema: dict[str, Any]) -> None:
    assert field_type.schema == schema


def test_a_list_is_sent_with_or_without_brackets() -> None:
    field = FormField(name="x", field_type=TEXT, description="X.", is_list=True)
    assert field.parse({"x[]": ["a"], "x": ["b"]}) == ("a", "b")


def test_a_list_is_limited() -> None:
    with pytest.raises(InvalidOption):
        parse(TEXT, *("a",) * (MAX_LIST_VALUES + 1), is_list=True)


def test_a_single_field_is_sent_once() -> None:
    with pytest.raises(InvalidOption):
        parse(BOOLEAN, "true", "true")


@pytest.mark.parametrize("field_type", [TEXT, BOOLEAN, COUNT, TIMES, choice("a", "b")])
@pytest.mark.parametrize("blank", ["", " ", "\r\n"])
def test_a_blank_text_counts_as_not_given(field_type: FieldType, blank: str) -> None:
    assert not FormField(name="x", field_type=field_type, description="X.").is_given({"x": [blank]})
    assert not FormField(name="x", field_type=field_type, description="X.", is_list=True).is_given({"x[]": [blank]})


@pytest.mark.parametrize("texts", [["a,b"], ["a", "b"], [" a , b "], ['["a", "b"]'], ["a,", ",b"]])
def test_a_list_of_words_may_be_one_text(texts: list[str]) -> None:
    assert parse(choice("a", "b"), *texts, is_list=True) == ("a", "b")


def test_a_list_of_texts_is_not_split() -> None:
    assert parse(TEXT, "Nakamura, K.", is_list=True) == ("Nakamura, K.",)


@pytest.mark.parametrize("text", ["a,c", '["a", 1]', '["a"', "[" * 10_000])
def test_a_list_with_another_word_is_refused(text: str) -> None:
    with pytest.raises(InvalidOption):
        parse(choice("a", "b"), text, is_list=True)


@given(st.text())
def test_a_truncated_text_is_short_and_keeps_its_beginning(text: str) -> None:
    short = truncate(text)
    assert len(short) <= MAX_ECHO_CHARS + 1
    assert text.startswith(short.removesuffix("…")) or short == text


@pytest.mark.parametrize("field_type", [TEXT, BOOLEAN, TIMES])
def test_a_long_text_is_refused_with_its_length_before_it_is_parsed(field_type: FieldType) -> None:
    with pytest.raises(TextTooLong) as caught:
        parse(field_type, "a" * (MAX_TEXT_CHARS + 1))
    assert (caught.value.field, caught.value.value) == ("x", MAX_TEXT_CHARS + 1)
    assert str(caught.value) == "x: 16,385 characters are not allowed; at most 16,384"
