"""What of a given prompt is used, and warnings that name what is left out."""

from __future__ import annotations

from typing import Any

from neuron_whisper.decode.prompt import PromptLimits
from neuron_whisper.longform.clip_context import PromptState
from neuron_whisper.longform.prompt_use import PromptUse, measure_prompt_use
from tests.support.plans import make_clip_context


def use(longest_prompt: int = 256, **options: Any) -> PromptUse:
    clip = make_clip_context(0.1, **options)
    initial = clip.encode_initial_prompt()
    state = PromptState(language="en", tokens=list(initial), initial_tokens=initial)
    return measure_prompt_use(clip, state, PromptLimits(longest_prompt=longest_prompt))


# a token is a byte in these tests, and a space is put in front of each text


def test_a_prompt_that_fits_is_used_and_gives_no_warning() -> None:
    assert use() == PromptUse(tokens=0)
    assert use(initial_prompt="Names: Nakamura.") == PromptUse(tokens=17)
    assert use(initial_prompt="abc", hotwords="de") == PromptUse(tokens=7)


def test_a_prompt_that_is_too_long_loses_its_beginning_and_the_warning_quotes_it() -> None:
    found = use(initial_prompt="first " + "x" * 217)
    assert found.tokens == 223
    (warning,) = found.warnings
    assert "the prompt is too long" in warning
    assert "1 of 224 tokens" in warning
    assert "'first xxx" in use(initial_prompt="first " + "x" * 400).warnings[0]
    assert len(use(initial_prompt="y " * 5000).warnings[0]) < 250


def test_the_room_is_the_programs_and_smaller_beside_hotwords_and_a_prefix() -> None:
    assert use(32, initial_prompt="a" * 40).tokens == 28
    beside = use(32, initial_prompt="a" * 20, hotwords="b" * 30)
    assert beside.tokens == 28
    assert [warning.split(" is ")[0] for warning in beside.warnings] == ["the prompt", "the text of the hotwords"]


def test_a_prefix_that_is_too_long_loses_its_end() -> None:
    (warning,) = use(32, prefix="a" * 50 + "end").warnings
    assert "the prefix is too long: its last" in warning
    assert warning.endswith("end'")


def test_hotwords_beside_a_prefix_are_not_used_and_that_is_said() -> None:
    found = use(hotwords="abc", prefix="d")
    assert (found.tokens, len(found.warnings)) == (0, 1)
    assert "hotwords" in found.warnings[0]


def test_a_carried_prompt_that_is_too_long_is_said_too() -> None:
    found = use(initial_prompt="a" * 300, carry_initial_prompt=True)
    assert (found.tokens, len(found.warnings)) == (223, 1)
