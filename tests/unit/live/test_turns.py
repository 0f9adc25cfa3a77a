"""Turn detection on the voice detector's probabilities, one for each 32 ms."""

from __future__ import annotations

from neuron_whisper.live.options import TurnDetection
from neuron_whisper.live.turns import TurnTracker

CHUNK = 512
OPTIONS = TurnDetection(threshold=0.5, silence_duration_ms=96)  # three chunks


def track(probabilities: list[float], options: TurnDetection = OPTIONS) -> list[tuple[str, int]]:
    """Starts and ends, by the number of the chunk."""
    tracker = TurnTracker()
    found = []
    for n, probability in enumerate(probabilities):
        if tracker.detect_start(probability, options):
            found.append(("start", n))
        if tracker.detect_end(probability, (n + 1) * CHUNK, options):
            found.append(("end", n))
    return found


def test_an_utterance_ends_after_the_silence_that_was_asked_for() -> None:
    assert track([0, 0.9, 0.9, 0, 0, 0, 0, 0.9]) == [("start", 1), ("end", 5), ("start", 7)]


def test_a_shorter_pause_does_not_end_it() -> None:
    assert track([0.9, 0, 0, 0.9, 0, 0, 0.9]) == [("start", 0)]


def test_silence_begins_well_below_the_threshold_and_goes_on_up_to_it() -> None:
    assert track([0.9, 0.4, 0.4, 0.4, 0.4]) == [("start", 0)], "0.4 is within the hysteresis of 0.15"
    assert track([0.9, 0.3, 0.4, 0.4]) == [("start", 0), ("end", 3)]


def test_no_threshold_takes_silence_for_speech() -> None:
    assert track([0.0, 0.0], TurnDetection(threshold=0.0)) == []


def test_a_reset_ends_the_turn() -> None:
    tracker = TurnTracker()
    assert tracker.detect_start(0.9, OPTIONS)
    tracker.reset()
    assert not tracker.detect_end(0.0, CHUNK, OPTIONS)
    assert tracker.detect_start(0.9, OPTIONS)
