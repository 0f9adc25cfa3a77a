"""Options of one 30 s window, made of those of its transcription."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from neuron_whisper.decode.options import TranscribeOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowOptions:
    """How one 30 s window is decoded. `prompt` are tokens of the previous text, `prefix` tokens that its text begins
    with, `hotwords` tokens before the prompt; `carried_prompt` stands between them, where `prompt` has no room, too.
    `language` None: detect it, among `languages` if given. `include_prefix`: the rules continue from the prefix, and
    the result begins with it.

    The defaults are one greedy attempt without thresholds.
    """

    language: str | None
    task: str
    languages: tuple[str, ...] = ()
    prompt: Sequence[int] = ()
    carried_prompt: Sequence[int] = ()
    prefix: Sequence[int] = ()
    include_prefix: bool = False
    hotwords: Sequence[int] = ()
    suppress_tokens: frozenset[int] = frozenset()
    suppress_blank: bool = True
    without_timestamps: bool = False
    max_initial_timestamp_s: float | None = 1.0
    max_new_tokens: int | None = None
    temperatures: tuple[float, ...] = (0.0,)
    beam_size: int | None = None
    best_of: int | None = None
    patience: float | None = None
    length_penalty: float | None = None
    seed: int = 0
    compression_ratio_threshold: float | None = None
    logprob_threshold: float | None = None
    no_speech_threshold: float | None = None
    repetition_cut: bool = False
    word_timestamps: bool = False


def create_window_options(options: TranscribeOptions, **encoded: Any) -> WindowOptions:
    """Options of a window: `encoded` are those that differ by window or are tokens there, the others stay."""
    names = [each.name for each in fields(WindowOptions) if each.name not in encoded]
    return WindowOptions(**encoded, **{name: getattr(options, name) for name in names})
