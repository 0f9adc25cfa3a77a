"""Declarations of options: what a spec accepts, how it describes itself, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from neuron_whisper.errors import InvalidOption, TextTooLong
from neuron_whisper.option_spec import SAME, OptionKind, OptionSpec, check_options, list_option_specs, option


def spec(kind: OptionKind, **fields: Any) -> OptionSpec:
    return OptionSpec(**{"name": "it", "kind": kind, "default": None, "help": "", "group": "", **fields})


@dataclass(frozen=True)
class Sample:
    beam_size: int = option(5, "integer", "Beams.", flags=("-b", SAME), form_field=SAME, minimum=1, maximum=16)
    limit_s: float | None = option(1.0, "number", "Limit.", is_optional=True, form_field="limit", minimum=0)
    plain: int = 0


def test_a_class_lists_its_declared_options_under_their_names_elsewhere() -> None:
    specs = list_option_specs(Sample)
    assert list(specs) == ["beam_size", "limit_s"]
    assert (specs["beam_size"].flags, specs["beam_size"].form_field) == (("-b", "--beam-size"), "beam_size")
    assert (specs["limit_s"].form_field, specs["limit_s"].default) == ("limit", 1.0)


def test_an_instance_is_checked_field_by_field() -> None:
    check_options(Sample(beam_size=16, limit_s=None))
    with pytest.raises(InvalidOption) as refused:
        check_options(Sample(beam_size=17))
    assert (refused.value.field, refused.value.allowed) == ("beam_size", "a whole number from 1 to 16")


@pytest.mark.parametrize(
    ("kind", "fields", "accepted", "refused"),
    [
        ("boolean", {}, [True, False], [1, "true", None]),
        ("integer", {"minimum": 1, "maximum": 3}, [1, 3], [0, 4, 2.0, True, "2"]),
        ("number", {"minimum": 0, "maximum": 1}, [0, 0.5, 1], [-0.1, 1.5, float("nan"), True, "0.5"]),
        ("choice", {"choices": ("a", "b")}, ["a", "b"], ["c", "", None]),
        ("text", {}, ["", "text"], [1, b"text"]),
        ("languages", {}, [(), ("en", "de"), ["en"]], ["en", (1,)]),
        ("temperatures", {"minimum": 0, "maximum": 1}, [0, 0.5, (0, 0.5)], [(0.5, 0), (0, 0), 2, "warm", "01", None]),
        (
            "times",
            {"minimum": 0},
            [(), (0, 1.5), 3, "", "0", "0, 12.5"],
            [(1, 0), (-1, 2), (1, 1), "03,1", "soon", "1,", ("0", "3")],
        ),
        ("token_ids", {}, ["-1", (1, 2)], [1]),
    ],
)
def test_a_kind_accepts_its_values_alone(
    kind: OptionKind, fields: dict[str, Any], accepted: list[object], refused: list[object]
) -> None:
    made = spec(kind, **fields)
    for value in accepted:
        made.check(value)
    for value in refused:
        with pytest.raises(InvalidOption):
            made.check(value)


def test_a_long_text_is_refused_without_repeating_it() -> None:
    made = spec("text")
    made.check("x" * 16_384)
    with pytest.raises(TextTooLong) as caught:
        made.check("x" * 16_385)
    assert caught.value.value == 16_385
    assert len(str(caught.value)) < 100


@pytest.mark.parametrize(
    ("fields", "allowed"),
    [
        ({"kind": "integer", "minimum": 1, "maximum": 16}, "a whole number from 1 to 16"),
        ({"kind": "integer", "minimum": 0, "maximum": 2**63 - 1}, f"a whole number from 0 to {2**63 - 1}"),
        ({"kind": "number", "minimum": 0}, "a number from 0"),
        ({"kind": "number", "maximum": 0, "is_optional": True, "default": -1.0}, "a number of at most 0, or none"),
        ({"kind": "choice", "choices": ("a", "b")}, "one of a, b"),
    ],
)
def test_what_is_allowed_is_a_phrase(fields: dict[str, Any], allowed: str) -> None:
    assert spec(**fields).allowed == allowed


@pytest.mark.parametrize(
    ("default", "text"),
    [(2.4, "2.4"), ((0.0, 0.2, 1.0), "0,0.2,1"), (True, "true"), (False, ""), (None, ""), ((), ""), ("auto", "auto")],
)
def test_a_default_is_shown_as_it_is_written(default: object, text: str) -> None:
    assert spec("text", default=default).default_text == text


def test_a_note_stands_in_place_of_the_default() -> None:
    assert spec("integer", default=None, default_note="none, greedy").default_text == "none, greedy"
