"""What of a given prompt, hotwords and prefix the windows are prompted with, and what is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from neuron_whisper.decode.prompt import FittedPrompt, PromptLimits, fit_prompt
from neuron_whisper.decode.window_options import WindowOptions
from neuron_whisper.longform.clip_context import ClipContext, PromptState
from neuron_whisper.text.tokenizer import Tokenizer

MAX_QUOTED = 40  # characters of either end of a text that is left out


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptUse:
    """`tokens` of the prompt and the hotwords are used in the first window; `warnings` name what is left out."""

    tokens: int
    warnings: tuple[str, ...] = ()


def measure_prompt_use(clip: ClipContext, prompt_state: PromptState, limits: PromptLimits) -> PromptUse:
    """Fits what was given into the prompt of the first window, and the hotwords into one without the prefix, too."""
    first = clip.build_window_options(prompt_state)
    initial = prompt_state.initial_tokens
    fitted = _fit(first, clip.tokenizer, limits)
    warnings = []
    if left_out := first.prefix[len(fitted.prefix) :]:
        warnings.append(_describe("prefix", "last", left_out, first.prefix, clip.tokenizer))
    if left_out := initial[: len(initial) - len(fitted.previous)]:
        warnings.append(_describe("prompt", "first", left_out, initial, clip.tokenizer))
    later = _fit(replace(first, prefix=()), clip.tokenizer, limits)
    if left_out := first.hotwords[len(later.hotwords) :]:
        warnings.append(_describe("text of the hotwords", "last", left_out, first.hotwords, clip.tokenizer))
    if first.hotwords and first.prefix:
        warnings.append("the hotwords are not used in the first window: its text begins with the prefix")
    return PromptUse(tokens=len(fitted.hotwords) + len(fitted.previous), warnings=tuple(warnings))


def _fit(options: WindowOptions, tokenizer: Tokenizer, limits: PromptLimits) -> FittedPrompt:
    language = options.language or tokenizer.languages[0]
    start = tokenizer.sot_sequence(
        language if tokenizer.special.is_multilingual else None,
        options.task,
        timestamps=not options.without_timestamps,
    )
    return fit_prompt(options, limits, n_start_tokens=len(start))


def _describe(name: str, which: str, left_out: Sequence[int], given: Sequence[int], tokenizer: Tokenizer) -> str:
    """ "the prompt is too long: its first 424 of 647 tokens are left out: 'Zyntharyx, Term0ova ... Term137ova,'"."""
    text = tokenizer.decode(left_out).strip()
    if len(text) > 2 * MAX_QUOTED + len(" ... "):
        text = f"{text[:MAX_QUOTED].rstrip()} ... {text[-MAX_QUOTED:].lstrip()}"
    return f"the {name} is too long: its {which} {len(left_out)} of {len(given)} tokens are left out: {text!r}"
