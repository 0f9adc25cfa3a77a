"""The error tree: what each error says, and that its parts survive a change of its field."""

from __future__ import annotations

import pytest

from neuron_whisper.errors import InputError, InvalidOption, MissingOption, UnknownOption


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (InvalidOption("beam_size", 0, "from 1 to 16"), "beam_size: 0 is not allowed; from 1 to 16"),
        (MissingOption("file", "send it as a form field"), "file: missing; send it as a form field"),
        (UnknownOption("beamsize", ["beam_size"]), "beamsize: unknown field; did you mean beam_size?"),
        (UnknownOption("colour", ["a", "b"]), "colour: unknown field; known here: a, b"),
        (UnknownOption("colour", []), "colour: unknown field"),
        (UnknownOption("prot", ["port"], kind="setting"), "prot: unknown setting; did you mean port?"),
    ],
)
def test_a_wrong_a_missing_and_an_unknown_option_are_three_sentences(error: InvalidOption, message: str) -> None:
    assert str(error) == message
    assert isinstance(error, InputError)


def test_an_unknown_option_does_not_list_a_hundred_known_ones() -> None:
    assert str(UnknownOption("colour", [f"option_{n}" for n in range(100)])) == "colour: unknown field"


@pytest.mark.parametrize(
    "error", [InvalidOption("a", 3, "from 4"), MissingOption("a", "send it"), UnknownOption("a", ["bcd"])]
)
def test_an_option_keeps_its_class_value_and_sentence_under_another_name(error: InvalidOption) -> None:
    renamed = error.with_field("b")
    assert type(renamed) is type(error)
    assert (renamed.field, renamed.value, renamed.allowed) == ("b", error.value, error.allowed)
    assert str(renamed) == str(error).replace("a:", "b:", 1)
    assert str(error).startswith("a: ")


def test_a_note_ends_the_message_and_leaves_the_first_error_alone() -> None:
    error = InvalidOption("port", 0, "from 1")
    assert str(error.with_note(" (from serve.toml)")) == "port: 0 is not allowed; from 1 (from serve.toml)"
    assert str(error) == "port: 0 is not allowed; from 1"
