"""The flags of decoding and subtitle options, generated from their declarations, and those of limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import rich_click as click

from neuron_whisper.audio.limits import AudioLimits
from neuron_whisper.audio.vad_options import VadOptions
from neuron_whisper.decode.options import DEFAULT_VAD, TranscribeOptions
from neuron_whisper.errors import InvalidOption
from neuron_whisper.formats.subtitles import SubtitleOptions
from neuron_whisper.option_spec import OptionSpec, list_option_specs, parse_numbers

F = TypeVar("F", bound=Callable[..., Any])
NONE = "none"  # switches a threshold off
VAD_PREFIX = "vad_"
_SIZE_FLAGS = {"max_bytes": "Largest file", "max_decoded": "Most bytes that a file may decode to"}


def decoding_options(command: F) -> F:
    """Adds the flags of `parse_transcribe_options` to a command."""
    return _add_flags(_add_flags(command, VadOptions, VAD_PREFIX, DEFAULT_VAD), TranscribeOptions)


def parse_transcribe_options(flags: Mapping[str, Any]) -> TranscribeOptions:
    """Builds the options from flags; a flag that was not given keeps its default. Raises InvalidOption."""
    given = _select_given(flags, list_option_specs(TranscribeOptions), "")
    vad = _select_given(flags, list_option_specs(VadOptions), VAD_PREFIX)
    return TranscribeOptions(vad=replace(DEFAULT_VAD, **vad), **given)


def subtitle_options(command: F) -> F:
    """Adds the flags of `parse_subtitle_options` to a command."""
    return _add_flags(command, SubtitleOptions)


def parse_subtitle_options(flags: Mapping[str, Any]) -> SubtitleOptions:
    """Builds the layout of subtitles from flags. Raises InvalidOption."""
    return SubtitleOptions(**_select_given(flags, list_option_specs(SubtitleOptions), ""))


def _add_flags(command: F, options_class: type, prefix: str = "", defaults: object = None) -> F:
    """Adds a flag for each option that has one, before those that the command has already."""
    for spec in reversed(list(list_option_specs(options_class).values())):
        if spec.flags:
            default = spec.default if defaults is None else getattr(defaults, spec.name)
            command = _create_flag(spec, prefix + spec.name, default)(command)
    return command


def _select_given(flags: Mapping[str, Any], specs: Mapping[str, OptionSpec], prefix: str) -> dict[str, Any]:
    values = {name: flags.get(prefix + name) for name, spec in specs.items() if spec.flags}
    return {name: None if value == NONE else value for name, value in values.items() if value is not None}


def _create_flag(spec: OptionSpec, parameter: str, default: object) -> Callable[[F], F]:
    settings: dict[str, Any] = {"default": None, "metavar": spec.metavar}
    match spec.kind:
        case "boolean":
            # a flag that is not given leaves the default of the options
            flag_value = None if "/" in spec.flags[-1] else not spec.flags[-1].startswith("--no-")
            settings = {"default": None, "is_flag": True} | ({} if flag_value is None else {"flag_value": flag_value})
        case "integer":
            settings["type"] = int
        case "number" if spec.is_switched_off_by_none:
            settings["callback"] = _parse_number_or_none
        case "number":
            settings["type"] = int if isinstance(default, int) else float
        case "choice":
            settings["type"] = click.Choice(spec.choices)
        case "languages":
            settings["callback"] = _parse_codes
        case "temperatures" | "times":
            settings["callback"] = _parse_numbers
    text = replace(spec, default=default).default_text
    is_switch = spec.kind == "boolean" and "/" not in spec.flags[-1]
    note = f"  [default: {text}]" if text and not is_switch else ""
    return click.option(*spec.flags, parameter, help=_describe(spec) + note, panel=spec.group, **settings)


def _describe(spec: OptionSpec) -> str:
    """The help text of a flag; one that begins with --no- switches off what the option's help says."""
    if spec.kind == "boolean" and spec.flags[-1].startswith("--no-"):
        return f"Do not {spec.help[0].lower()}{spec.help[1:]}"
    return spec.help


def _parse_number_or_none(ctx: click.Context, param: click.Parameter, value: str | None) -> float | str | None:
    """ "2.4" -> 2.4, "none" -> "none"; None if the flag was not given."""
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
        return parse_numbers(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a comma-separated list of numbers, such as 0,0.2,0.4") from None


def _parse_codes(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """ "en, de" -> ("en", "de")"""
    return None if value is None else tuple(code.strip() for code in value.split(",") if code.strip())


# --- limits of the audio --------------------------------------------------------------------------


def audio_limit_options(command: F) -> F:
    """Adds --max-audio-s, --max-bytes and --max-decoded."""
    for name, what in reversed(_SIZE_FLAGS.items()):
        flag = f"--{name.replace('_', '-')}"
        command = click.option(flag, panel="Audio", metavar="SIZE", help=f"{what}, such as 2GB.  [default: no limit]")(
            command
        )
    return click.option(
        "--max-audio-s",
        panel="Audio",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="Longest audio of a file, in seconds.  [default: 14400]",
    )(command)


def parse_audio_limits(flags: dict[str, Any]) -> AudioLimits:
    """Takes the flags out of `flags`. Raises InvalidOption."""
    sizes = {name: _parse_size(name, flags.pop(name)) for name in _SIZE_FLAGS}
    max_audio_s = flags.pop("max_audio_s")
    limits = AudioLimits(max_bytes=sizes["max_bytes"], max_decoded_bytes=sizes["max_decoded"])
    if max_audio_s is None:
        return limits
    return AudioLimits(max_bytes=limits.max_bytes, max_decoded_bytes=limits.max_decoded_bytes, max_seconds=max_audio_s)


def _parse_size(name: str, text: str | None) -> int | None:
    from neuron_whisper.server.config.schema import parse_size

    if text is None:
        return None
    flag = f"--{name.replace('_', '-')}"
    try:
        size = parse_size(text.strip())
    except ValueError:
        size = 0
    if size < 1:
        raise InvalidOption(flag, text, "a number of bytes, or a size such as 25MB")
    return size
