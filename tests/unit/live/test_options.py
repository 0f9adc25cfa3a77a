"""Options of a live session: what is refused, and by which name."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.errors import InvalidOption
from neuron_whisper.live.options import LiveOptions, TurnDetection


def test_the_defaults_of_turn_detection_are_openais() -> None:
    turns = TurnDetection()
    assert (turns.threshold, turns.prefix_padding_ms, turns.silence_duration_ms) == (0.5, 300, 500)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: TurnDetection(threshold=1.1), "threshold"),
        (lambda: TurnDetection(threshold=float("nan")), "threshold"),
        (lambda: TurnDetection(prefix_padding_ms=-1), "prefix_padding_ms"),
        (lambda: TurnDetection(prefix_padding_ms=5_001), "prefix_padding_ms"),
        (lambda: TurnDetection(silence_duration_ms=20_001), "silence_duration_ms"),
        (lambda: LiveOptions(first_partial_s=0.05), "first_partial_s"),
        (lambda: LiveOptions(partial_interval_s=31), "partial_interval_s"),
        (lambda: LiveOptions(transcribe=TranscribeOptions(clip_timestamps=(1.0, 2.0))), "clip_timestamps"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(make: Callable[[], object], field: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        make()
    assert refused.value.field == field
