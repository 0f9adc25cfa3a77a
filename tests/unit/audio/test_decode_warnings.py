"""DecodeDiagnostics: which damage gives which warning."""

from __future__ import annotations

from neuron_whisper.audio.decode_warnings import DecodeDiagnostics

BROKEN = ValueError("broken")


def test_an_undamaged_file_has_no_warning() -> None:
    diagnostics = DecodeDiagnostics(expected_s=2.0, tolerance_s=0.1)
    diagnostics.record_frame(1.0)
    diagnostics.record_frame(0.95)
    assert diagnostics.messages() == ()


def test_bad_packets_at_the_start_in_the_middle_and_at_the_end_have_a_warning_each() -> None:
    diagnostics = DecodeDiagnostics()
    for bad in (3, 1, 1):
        for _ in range(bad):
            diagnostics.record_bad_packet(BROKEN)
        diagnostics.record_frame(1.0)
    diagnostics.record_bad_packet(BROKEN)
    assert diagnostics.messages() == (
        "the start is damaged: 3 packets could not be decoded",
        "2 damaged packets in the middle could not be decoded, at 1.00, 2.00 s",
        "the end is damaged: 1 packet could not be decoded",
    )
    assert diagnostics.last_error == "broken"


def test_bad_packets_at_the_start_of_a_later_recording_are_in_the_middle_of_the_audio() -> None:
    diagnostics = DecodeDiagnostics(offset_s=60.0)
    diagnostics.record_bad_packet(BROKEN)
    diagnostics.record_frame(1.0)
    assert diagnostics.messages() == ("1 damaged packet in the middle could not be decoded, at 60.00 s",)


def test_gaps_have_a_warning_with_their_sum_and_drift_has_none() -> None:
    diagnostics = DecodeDiagnostics()
    for at_s, gap_s in ((2.0, 1.0), (7.25, 0.5)):
        diagnostics.record_gap(at_s, gap_s)
    diagnostics.record_gap(9.0, 0.2, is_loss=False)
    assert diagnostics.messages() == (
        "1.50 s are missing in the middle, in 2 gaps: 2.00-3.00, 7.25-7.75 s; silence was filled in there",
    )


def test_a_few_places_are_named_and_the_others_counted() -> None:
    diagnostics = DecodeDiagnostics()
    for at_s in range(5):
        diagnostics.record_gap(10.0 * at_s, 1.0)
    assert diagnostics.messages() == (
        "5.00 s are missing in the middle, in 5 gaps: 0.00-1.00, 10.00-11.00, 20.00-21.00 s and 2 more; "
        "silence was filled in there",
    )


def test_places_of_a_later_recording_are_those_of_the_whole_audio() -> None:
    diagnostics = DecodeDiagnostics(offset_s=60.0)
    diagnostics.record_gap(2.0, 1.0)
    diagnostics.record_frame(4.0)
    diagnostics.record_bad_packet(BROKEN)
    diagnostics.record_frame(1.0)
    damaged, gap = diagnostics.messages()
    assert damaged == "1 damaged packet in the middle could not be decoded, at 65.00 s"
    assert "62.00-63.00 s" in gap


def test_timestamps_that_jump_too_far_or_back_have_a_warning_each() -> None:
    diagnostics = DecodeDiagnostics()
    diagnostics.record_unfilled(3.0, 9000.0)
    diagnostics.record_jump_back(4.0, 2.5)
    ahead, back = diagnostics.messages()
    assert "jump ahead by 9,000 s" in ahead
    assert "at 3.00 s; no silence was filled in there" in ahead
    assert "jump back 1 time, by up to 2.50 s, at 4.00 s; no silence was filled in there" in back


def test_what_lies_before_the_first_frame_is_not_missing_from_the_stated_duration() -> None:
    diagnostics = DecodeDiagnostics(expected_s=6.0, tolerance_s=0.25)
    diagnostics.record_start(5.0)
    diagnostics.record_frame(1.0)
    assert diagnostics.messages() == ()


def test_a_file_shorter_than_stated_has_a_warning_with_both_durations() -> None:
    diagnostics = DecodeDiagnostics(expected_s=4.0, tolerance_s=0.25)
    diagnostics.record_frame(3.5)
    (message,) = diagnostics.messages()
    assert "promises 4.00 s but 3.50 s" in message


def test_time_that_damaged_packets_explain_has_no_second_warning() -> None:
    diagnostics = DecodeDiagnostics(expected_s=4.0, tolerance_s=0.25)
    diagnostics.record_bad_packet(BROKEN)
    diagnostics.record_frame(3.6)
    assert len(diagnostics.messages()) == 1


def test_notes_come_first() -> None:
    diagnostics = DecodeDiagnostics(notes=["the file is truncated"])
    diagnostics.record_bad_packet(BROKEN)
    assert diagnostics.messages()[0] == "the file is truncated"
