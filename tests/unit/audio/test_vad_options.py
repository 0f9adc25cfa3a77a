"""Options of voice activity detection: what is refused, and by which name."""

from __future__ import annotations

import pytest

from neuron_whisper.audio.vad_options import VadOptions
from neuron_whisper.errors import InvalidOption


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("threshold", 0.0, "a number from 0.01 to 1"),
        ("threshold", 1.5, "a number from 0.01 to 1"),
        ("threshold", float("nan"), "a number from 0.01 to 1"),
        ("neg_threshold", 0.6, "a number from 0 to the threshold, 0.5"),
        ("neg_threshold", -0.1, "a number from 0 to 1"),
        ("min_speech_duration_ms", -1, "a number from 0"),
        ("min_silence_duration_ms", float("inf"), "a number from 0"),
        ("min_silence_at_max_speech", -98, "a number from 0"),
        ("speech_pad_ms", -1, "a number from 0 to 10000"),
        ("speech_pad_ms", 10_001, "a number from 0 to 10000"),
        ("max_speech_duration_s", 0.86, "a number from 0.864: twice speech_pad_ms and 64 ms"),
        ("max_speech_duration_s", float("nan"), "a number from 0"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, value: float, allowed: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        VadOptions(**{name: value})  # type: ignore[arg-type]  # wrong on purpose
    assert (refused.value.field, refused.value.allowed) == (name, allowed)
    assert str(refused.value.value) == str(value)


def test_the_defaults_are_faster_whispers_but_for_the_shortest_speech() -> None:
    options = VadOptions()
    assert (options.threshold, options.neg_threshold, options.silence_threshold) == (0.5, None, 0.35)
    assert (options.min_speech_duration_ms, options.max_speech_duration_s) == (250, float("inf"))
    assert (options.min_silence_duration_ms, options.speech_pad_ms) == (2000, 400)


@pytest.mark.parametrize(
    ("options", "below"),
    [(VadOptions(threshold=0.1), 0.01), (VadOptions(threshold=0.9), 0.75), (VadOptions(neg_threshold=0.2), 0.2)],
)
def test_silence_begins_below_the_threshold(options: VadOptions, below: float) -> None:
    assert options.silence_threshold == pytest.approx(below)


def test_a_limit_shortens_spans_and_never_lengthens_them() -> None:
    assert VadOptions().with_max_duration(29.0).max_speech_duration_s == 29.0
    assert VadOptions(max_speech_duration_s=10.0).with_max_duration(29.0).max_speech_duration_s == 10.0
    assert VadOptions(speech_pad_ms=10_000).with_max_duration(29.0).speech_pad_ms == 10_000
