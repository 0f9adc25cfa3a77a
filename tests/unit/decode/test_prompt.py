"""What of prefix, hotwords and text before fits into a window's prompt."""

from __future__ import annotations

from typing import Any

from neuron_whisper.decode.prompt import FittedPrompt, PromptLimits, fit_prompt
from neuron_whisper.decode.window_options import WindowOptions

LIMITS = PromptLimits(n_text_ctx=448, longest_prompt=256)


def fit(limits: PromptLimits = LIMITS, **given: Any) -> FittedPrompt:
    return fit_prompt(WindowOptions(language="en", task="transcribe", **given), limits, n_start_tokens=4)


def test_of_a_long_text_the_last_223_tokens_are_used() -> None:
    assert fit(prompt=range(1000)).previous == list(range(777, 1000))
    assert fit(prompt=range(100)).previous == list(range(100))


def test_a_shorter_program_takes_less() -> None:
    assert fit(PromptLimits(n_text_ctx=448, longest_prompt=32), prompt=range(1000)).previous == list(range(973, 1000))
    assert fit(PromptLimits(n_text_ctx=448, longest_prompt=4), prompt=range(9), prefix=(1,)) == FittedPrompt(
        prefix=[], hotwords=[], previous=[]
    )


def test_hotwords_take_up_to_half_and_none_beside_a_prefix() -> None:
    fitted = fit(hotwords=range(300), prompt=range(1000))
    assert (list(fitted.hotwords), list(fitted.previous)) == (list(range(111)), list(range(888, 1000)))
    assert fit(hotwords=range(3), prefix=(7,)) == FittedPrompt(prefix=[7], hotwords=[], previous=[])


def test_a_carried_prompt_stays_whole_beside_hotwords_and_recent_text() -> None:
    fitted = fit(hotwords=range(50), carried_prompt=range(100, 200), prompt=range(1000, 2000))
    assert len(fitted.hotwords) == 50
    assert fitted.previous == [*range(100, 200), *range(1927, 2000)]
    assert fit(carried_prompt=range(300), prompt=(9,)).previous == list(range(77, 300))
