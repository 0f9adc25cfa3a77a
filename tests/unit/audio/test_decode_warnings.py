"""DecodeDiagnostics: which damage gives which warning."""

from __future__ import annotations

from neuron_whisper.audio.decode_warnings import DecodeDiagnostics

BROKEN = ValueError("broken")


def test_an_undamaged_file_has_no_warning() -> None:
    diagnostics = DecodeDiagnostics(expected_s=2.0, tolerance_s=0.1, has_reliable_timestamps=True)
    diagnostics.record_frame(0.0, 1.0)
    diagnostics.record_frame(1.0, 0.95)
    assert diagnostics.messages() == ()


def test_bad_packets_at_the_end_and_in_the_middle_have_a_warning_each() -> None:
    diagnostics = DecodeDiagnostics()
    for _ in range(2):
        diagnostics.record_bad_packet(BROKEN)
        diagnostics.record_frame(None, 1.0)
    diagnostics.record_bad_packet(BROKEN)
    assert diagnostics.messages() == (
        "2 damaged packets in the middle could not be decoded",
        "the end is damaged: 1 packet could not be decoded",
    )
    assert diagnostics.last_error == "broken"


def test_timestamps_that_jump_are_gaps_and_small_ones_are_rounding() -> None:
    diagnostics = DecodeDiagnostics(has_reliable_timestamps=True)
    for start in (0.0, 1.05, 3.05, 4.05):
        diagnostics.record_frame(start, 1.0)
    assert diagnostics.messages() == ("1.00 s are missing in the middle, in 1 gap",)


def test_timestamps_that_are_not_reliable_are_not_looked_at() -> None:
    diagnostics = DecodeDiagnostics()
    diagnostics.record_frame(0.0, 1.0)
    diagnostics.record_frame(9.0, 1.0)
    assert diagnostics.messages() == ()


def test_a_file_shorter_than_stated_has_a_warning_with_both_durations() -> None:
    diagnostics = DecodeDiagnostics(expected_s=4.0, tolerance_s=0.25)
    diagnostics.record_frame(None, 3.5)
    (message,) = diagnostics.messages()
    assert "promises 4.00 s but 3.50 s" in message


def test_time_that_damaged_packets_explain_has_no_second_warning() -> None:
    diagnostics = DecodeDiagnostics(expected_s=4.0, tolerance_s=0.25)
    diagnostics.record_bad_packet(BROKEN)
    diagnostics.record_frame(None, 3.6)
    assert len(diagnostics.messages()) == 1


def test_notes_come_first() -> None:
    diagnostics = DecodeDiagnostics(notes=["the file is truncated"])
    diagnostics.record_bad_packet(BROKEN)
    assert diagnostics.messages()[0] == "the file is truncated"
