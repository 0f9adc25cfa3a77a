"""A region decoded window by window: silence is skipped, segments lie in speech."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from neuron_whisper.decode.window import WindowRequest
from neuron_whisper.longform.batched import decode_batched
from neuron_whisper.longform.clip_context import PromptState
from neuron_whisper.longform.sequential import decode_sequential
from tests.support.plans import (
    TOKENIZER,
    ScriptedDecoder,
    make_clip_context,
    make_speech_map,
    run_to_end,
    timestamp_at,
)


def test_a_window_without_speech_is_not_decoded() -> None:
    decoder = ScriptedDecoder()
    _, skipped, _ = run_to_end(
        decode_sequential(make_clip_context(100, make_speech_map((40, 50))), PromptState(language="en"), [(0, 10_000)]),
        decoder,
    )
    assert len(decoder.requests) == 1
    assert [(gap.start_s, gap.end_s, gap.reason) for gap in skipped] == [
        (0.0, 30.0, "vad"),
        (30.0, 40.0, "vad"),
        (50.0, 80.0, "vad"),
        (80.0, 100.0, "vad"),
    ]
    (request,) = decoder.requests
    assert request.frames == 1000


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 2000), st.integers(1, 4000)), max_size=6), st.integers(0, 2), st.integers(1, 9000)
)
def test_no_window_holds_a_long_silence_and_all_speech_is_decoded(
    pieces: list[tuple[int, int]], thousandths: int, length: int
) -> None:
    times, at_s = [], 0.0
    for gap, frames in pieces:
        start_s = at_s + gap / 100 + thousandths / 333
        times.append((start_s, at_s := start_s + frames / 100))
    end_s = length / 100
    times = [(start_s, min(stop_s, end_s)) for start_s, stop_s in times if start_s < end_s]  # as the detector's are
    clip_data = make_clip_context(end_s, make_speech_map(*times))
    requested: list[int] = []

    def script(request: WindowRequest) -> list[int]:
        requested.append(request.frames)
        return [timestamp_at(0), ord("a"), timestamp_at(request.frames + 1)]

    found, skipped, _ = run_to_end(
        decode_sequential(clip_data, PromptState(language="en"), [(0, length)]), ScriptedDecoder(script)
    )
    windows = [(it.seek_s, it.seek_s + frames / 100) for it, frames in zip(found, requested, strict=True)]
    ends = sorted([*((it.start_s, it.end_s) for it in skipped), *windows])
    # every hundredth of the clip lies in one window or in one silence
    assert all(abs(before[1] - after[0]) < 0.001 for before, after in pairwise(ends))
    assert (ends[0][0], round(ends[-1][1], 2)) == (0, end_s)
    for segment in found:
        inside = [(a, b) for a, b in times if b > segment.seek_s and a < segment.end_s]
        assert inside
        assert all(b[0] - a[1] <= 3.01 for a, b in pairwise(inside))


def test_a_segment_without_speech_is_skipped_and_prompts_nothing() -> None:
    def script(request: WindowRequest) -> list[int]:
        rest = (
            [timestamp_at(410), ord("x"), timestamp_at(680), timestamp_at(690), ord("b"), timestamp_at(3000)]
            if request.frames > 680
            else []
        )
        return [timestamp_at(0), ord("a"), timestamp_at(400), *rest]

    decoder = ScriptedDecoder(script)
    found, skipped, summary = run_to_end(
        decode_sequential(
            make_clip_context(34, make_speech_map((0, 4), (6.9, 34))), PromptState(language="en"), [(0, 3400)]
        ),
        decoder,
    )
    assert [segment.text for segment in found] == ["a", "b", "a"]
    assert [gap.text for gap in skipped if gap.reason == "vad"] == ["x"]
    assert summary.text == "aba"
    assert TOKENIZER.decode(decoder.requests[1].options.prompt) == "ab"


def test_the_remainder_of_a_window_without_speech_is_not_decoded() -> None:
    decoder = ScriptedDecoder(lambda request: [timestamp_at(0), ord("a"), timestamp_at(800), timestamp_at(800)])
    plan = decode_batched(
        make_clip_context(20, make_speech_map((0, 8))), PromptState(language="en"), [(0, 1000)], concurrency=1
    )
    found, skipped, _ = run_to_end(plan, decoder)
    assert [(segment.start_s, segment.end_s) for segment in found] == [(0.0, 8.0)]
    assert len(decoder.requests) == 1
    assert [gap.reason for gap in skipped] == ["vad"]
