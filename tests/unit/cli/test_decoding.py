"""The flags of `transcribe` that say how to decode, and what they become."""

from __future__ import annotations

from typing import Any

import pytest
import rich_click as click
from click.testing import CliRunner

from neuron_whisper.audio.limits import AudioLimits
from neuron_whisper.cli.decoding import (
    decoding_options,
    parse_audio_limits,
    parse_subtitle_options,
    parse_transcribe_options,
    subtitle_options,
)
from neuron_whisper.decode.options import DEFAULT_VAD, TranscribeOptions
from neuron_whisper.errors import InvalidOption
from neuron_whisper.formats.subtitles import SubtitleOptions


def parse_flags(*flags: str) -> TranscribeOptions:
    """The options that a command line gives."""
    found: list[TranscribeOptions] = []

    @click.command()
    @decoding_options
    def command(**given: Any) -> None:
        found.append(parse_transcribe_options(given))

    result = CliRunner().invoke(command, flags, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return found[0]


def test_without_flags_the_options_are_the_defaults() -> None:
    assert parse_flags() == TranscribeOptions()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--temperature", "0"), {"temperature": 0.0}),
        (("--temperature", "0,0.4"), {"temperature": (0.0, 0.4)}),
        (
            ("--beam-size", "5", "--patience", "2", "--length-penalty", "0.5"),
            {"beam_size": 5, "patience": 2.0, "length_penalty": 0.5},
        ),
        (("--best-of", "3", "--seed", "7"), {"best_of": 3, "seed": 7}),
        (("--no-speech-threshold", "none"), {"no_speech_threshold": None}),
        (("--logprob-threshold", "-0.5"), {"logprob_threshold": -0.5}),
        (("--compression-ratio-threshold", "NONE"), {"compression_ratio_threshold": None}),
        (("--languages", "en, de"), {"languages": ("en", "de")}),
        (("--prompt", "Names"), {"initial_prompt": "Names"}),
        (("--no-condition-on-previous-text",), {"condition_on_previous_text": False}),
        (("--no-repetition-cut",), {"repetition_cut": False}),
        (("--no-vad", "--long-form", "batched"), {"vad_filter": False, "long_form": "batched"}),
        (
            ("--word-timestamps", "--hallucination-silence-threshold", "2"),
            {"word_timestamps": True, "hallucination_silence_threshold_s": 2.0},
        ),
        (("--clip-timestamps", "0, 3"), {"clip_timestamps": "0, 3"}),
        (("--clip-timestamps", "1,2.5"), {"clip_timestamps": (1.0, 2.5)}),
        (("-l", "Japanese", "--task", "translate"), {"language": "ja", "task": "translate"}),
    ],
)
def test_a_flag_sets_the_option_of_its_name(flags: tuple[str, ...], expected: dict[str, Any]) -> None:
    assert parse_flags(*flags) == TranscribeOptions(**expected)


def test_the_voice_detector_keeps_what_no_flag_names() -> None:
    found = parse_flags("--vad-threshold", "0.3", "--vad-min-silence", "500").vad
    assert (found.threshold, found.min_silence_duration_ms) == (0.3, 500)
    assert found.min_speech_duration_ms == DEFAULT_VAD.min_speech_duration_ms


@pytest.mark.parametrize("flags", [("--temperature", "warm"), ("--no-speech-threshold", "some"), ("--beam-size", "x")])
def test_what_is_no_number_is_refused_with_its_flag(flags: tuple[str, str]) -> None:
    with pytest.raises(click.BadParameter) as refused:
        parse_flags(*flags)
    assert refused.value.param is not None
    assert flags[0] in refused.value.param.opts
    assert repr(flags[1]) in str(refused.value.message)


def test_an_option_out_of_range_is_refused_by_its_name() -> None:
    with pytest.raises(InvalidOption, match="beam_size: 99"):
        parse_flags("--beam-size", "99")


def test_flags_of_subtitles_set_the_options_of_their_names() -> None:
    found: list[SubtitleOptions] = []

    @click.command()
    @subtitle_options
    def command(**given: Any) -> None:
        found.append(parse_subtitle_options(given))

    CliRunner().invoke(command, [], standalone_mode=False)
    CliRunner().invoke(command, ["--max-line-width", "30", "--highlight-words"], standalone_mode=False)
    assert found == [SubtitleOptions(), SubtitleOptions(max_line_width=30, highlight_words=True)]


def test_a_flag_that_begins_with_no_says_what_it_switches_off() -> None:
    @click.command()
    @decoding_options
    def command(**given: Any) -> None: ...

    helps = {option.opts[-1]: option.help for option in command.params if isinstance(option, click.Option)}
    assert helps["--no-repetition-cut"] == "Do not truncate a repetition loop that remains at every temperature."
    assert helps["--beam-size"] == "Beams of the search at temperature 0.  [default: none, greedy]"
    assert str(helps["--no-speech-threshold"]).startswith("Treat a window as silence")


# --- limits of the audio: none of bytes by default ------------------------------------------------

NO_LIMITS = {"max_audio_s": None, "max_bytes": None, "max_decoded": None}


def test_without_flags_there_is_no_limit_of_bytes_and_other_flags_stay() -> None:
    flags = {**NO_LIMITS, "beam_size": 5}
    assert parse_audio_limits(flags) == AudioLimits(max_bytes=None, max_decoded_bytes=None, max_seconds=14_400.0)
    assert flags == {"beam_size": 5}


def test_flags_are_sizes_and_seconds() -> None:
    flags = {"max_audio_s": 60.0, "max_bytes": "25MB", "max_decoded": "1GB"}
    assert parse_audio_limits(flags) == AudioLimits(max_bytes=25 << 20, max_decoded_bytes=1 << 30, max_seconds=60.0)


@pytest.mark.parametrize("text", ["", "0", "-1", "25 parsecs", "1e400GB"])
def test_a_size_that_is_none_is_refused_by_its_flag(text: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        parse_audio_limits({**NO_LIMITS, "max_bytes": text})
    assert refused.value.field == "--max-bytes"
