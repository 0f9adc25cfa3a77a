"""Which tokens of a window's prefix, hotwords and previous text fit into its prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from neuron_whisper.decode.window_options import WindowOptions
from neuron_whisper.target.interfaces import ProgramSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptLimits:
    """Lengths in tokens: of the model's text context, and of the longest prompt of its program."""

    n_text_ctx: int = 448
    longest_prompt: int = 256

    @classmethod
    def from_spec(cls, spec: ProgramSpec) -> Self:
        return cls(n_text_ctx=spec.dims.n_text_ctx, longest_prompt=spec.prompt_buckets[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedPrompt:
    """The tokens that are used; `previous` is the carried prompt and the end of the text before the window."""

    prefix: Sequence[int]
    hotwords: Sequence[int]
    previous: Sequence[int]


def fit_prompt(options: WindowOptions, limits: PromptLimits, *, n_start_tokens: int) -> FittedPrompt:
    """Cuts what does not fit: the end of the prefix, the end of the hotwords, the beginning of the text.

    Follows openai/whisper decoding.py: at most half the text context for the prefix, as much for all before it.
    Hotwords take up to half of that, and none beside a prefix, as in faster-whisper. `n_start_tokens` is the length of
    the start sequence.
    """
    half = limits.n_text_ctx // 2
    room = limits.longest_prompt - 1 - n_start_tokens
    prefix = list(options.prefix)[: max(0, min(half, room))]
    room = max(0, min(half - 1, room - len(prefix)))
    hotwords = [] if prefix else list(options.hotwords)[: room // 2]
    carried = _cut_beginning(options.carried_prompt, room - len(hotwords))
    recent = _cut_beginning(options.prompt, room - len(hotwords) - len(carried))
    return FittedPrompt(prefix=prefix, hotwords=hotwords, previous=[*carried, *recent])


def _cut_beginning(tokens: Sequence[int], room: int) -> list[int]:
    return list(tokens)[-room:] if room > 0 else []
