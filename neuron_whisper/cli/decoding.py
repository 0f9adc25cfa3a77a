"""How to decode, as flags: their names are openai/whisper's and faster-whisper's with dashes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

if TYPE_CHECKING:
    from neuron_whisper.decode.options import TranscribeOptions

F = TypeVar("F", bound=Callable[..., Any])
NONE = "none"  # spelled out, it switches a threshold off


def _parse_threshold(ctx: click.Context, param: click.Parameter, value: str | None) -> float | str | None:
    """ "2.4" -> 2.4, "none" -> "none"; None where the flag was not given."""
    if value is None or value.lower() == NONE:
        return value and NONE
    try:
        return float(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither a number nor none") from None


def _parse_numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    """ "0,0.2,0.4" -> (0.0, 0.2, 0.4)"""
    if value is None:
        return None
    try:
        return tuple(float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not numbers with commas between them, such as 0,0.2,0.4") from None


def _threshold_option(flag: str, help_text: str, default: float | None) -> Callable[[F], F]:
    shown = NONE if default is None else f"{default:g}"
    return click.option(flag, callback=_parse_threshold, metavar="N|none", help=f"{help_text}  [default: {shown}]")


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("-l", "--language", metavar="CODE", help="What is spoken, code or English name.  [default: detected]"),
    click.option("--languages", metavar="CODES", help="Detect among these alone: en,de,ja."),
    click.option("--multilingual", is_flag=True, help="Detect the language of every window anew."),
    click.option(
        "--task",
        type=click.Choice(["transcribe", "translate"]),
        default="transcribe",
        show_default=True,
        help="translate: into English.",
    ),
    click.option(
        "--prompt", "initial_prompt", metavar="TEXT", help="Text said before the audio: names, spelling, style."
    ),
    click.option("--carry-initial-prompt", is_flag=True, help="Give the prompt to every window, not the first alone."),
    click.option("--prefix", metavar="TEXT", help="How the first window's text begins."),
    click.option("--hotwords", metavar="TEXT", help="Names and words that every window is reminded of."),
    click.option(
        "--temperature",
        callback=_parse_numbers,
        metavar="T[,T...]",
        help="One, or the ladder that a window climbs while a gate fails.  [default: 0,0.2,0.4,0.6,0.8,1]",
    ),
    click.option("--beam-size", type=int, metavar="N", help="Beams at temperature 0.  [default: none, greedy]"),
    click.option("--best-of", type=int, metavar="N", help="Samples at temperatures above 0.  [default: 1]"),
    click.option("--patience", type=float, metavar="X", help="End a beam search at N * X sequences.  [default: 1]"),
    click.option(
        "--length-penalty",
        type=float,
        metavar="X",
        help="0 to 1: exponent of the length that scores are divided by.  [default: the length itself]",
    ),
    click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Of the samples."),
    _threshold_option("--compression-ratio-threshold", "Gate: a text that packs better repeats itself.", 2.4),
    _threshold_option("--logprob-threshold", "Gate: least average log-probability.", -1.0),
    _threshold_option("--no-speech-threshold", "With an unlikely text, a window above it is silence.", 0.6),
    click.option("--no-repetition-cut", is_flag=True, help="Keep a loop which every temperature ends in."),
    click.option(
        "--no-condition-on-previous-text",
        "no_condition",
        is_flag=True,
        help="Do not prompt a window with the text before it.",
    ),
    click.option(
        "--suppress-tokens",
        default="-1",
        show_default=True,
        metavar="IDS",
        help="Never choose these; -1: signs nobody speaks.",
    ),
    click.option("--without-timestamps", is_flag=True, help="Decode text without times: one segment per window."),
    click.option("--max-new-tokens", type=int, metavar="N", help="Tokens of a window at most.  [default: 224]"),
    click.option("--word-timestamps", is_flag=True, help="Times of words, from the attention to the audio."),
    click.option(
        "--hallucination-silence-threshold",
        "hallucination_silence_threshold_s",
        type=float,
        metavar="S",
        help="With word times: skip longer silences around what looks made up.",
    ),
    click.option(
        "--clip-timestamps", callback=_parse_numbers, metavar="S,S...", help="Only from start to end, and so on."
    ),
    click.option(
        "--long-form",
        type=click.Choice(["auto", "sequential", "batched"]),
        default="auto",
        show_default=True,
        help="Windows one after another, or stretches of speech side by side; auto: by length.",
    ),
    click.option(
        "--chinese-script",
        type=click.Choice(["simplified", "traditional"]),
        help="Characters of Chinese and Cantonese text.  [default: as the model writes them]",
    ),
    click.option(
        "--vad/--no-vad",
        "vad_filter",
        default=True,
        show_default=True,
        help="Text only where the voice detector hears speech.",
    ),
    click.option("--vad-threshold", type=float, metavar="P", help="Probability that makes it speech.  [default: 0.5]"),
    click.option("--vad-min-speech", "vad_min_speech", type=int, metavar="MS", help="Shortest speech."),
    click.option("--vad-min-silence", "vad_min_silence", type=int, metavar="MS", help="Silence that ends a span."),
    click.option("--vad-speech-pad", "vad_speech_pad", type=int, metavar="MS", help="Silence kept around a span."),
)


def decoding_options(command: F) -> F:
    """Every flag of `parse_transcribe_options`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def parse_transcribe_options(flags: Mapping[str, Any]) -> TranscribeOptions:
    """What the flags say. Raises InvalidOption."""
    from neuron_whisper.decode.options import DEFAULT_VAD, TranscribeOptions

    same = (
        "language",
        "multilingual",
        "task",
        "initial_prompt",
        "carry_initial_prompt",
        "prefix",
        "hotwords",
        "temperature",
        "beam_size",
        "best_of",
        "patience",
        "length_penalty",
        "seed",
        "suppress_tokens",
        "without_timestamps",
        "max_new_tokens",
        "word_timestamps",
        "hallucination_silence_threshold_s",
        "clip_timestamps",
        "long_form",
        "chinese_script",
        "vad_filter",
    )
    given: dict[str, Any] = {name: flags[name] for name in same if flags[name] is not None}
    for name in ("compression_ratio_threshold", "logprob_threshold", "no_speech_threshold"):
        if flags[name] is not None:
            given[name] = None if flags[name] == NONE else flags[name]
    if flags["languages"]:
        given["languages"] = tuple(code.strip() for code in flags["languages"].split(","))
    given["condition_on_previous_text"] = not flags["no_condition"]
    given["repetition_cut"] = not flags["no_repetition_cut"]
    heard = {
        "threshold": flags["vad_threshold"],
        "min_speech_duration_ms": flags["vad_min_speech"],
        "min_silence_duration_ms": flags["vad_min_silence"],
        "speech_pad_ms": flags["vad_speech_pad"],
    }
    vad = replace(DEFAULT_VAD, **{name: value for name, value in heard.items() if value is not None})
    return TranscribeOptions(vad=vad, **given)
