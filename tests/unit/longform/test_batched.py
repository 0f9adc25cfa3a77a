"""The batched plan: groups decoded in parallel, segments in order, prompts within a group."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuron_whisper.decode.window import DecodingResult, WindowRequest
from neuron_whisper.longform import TranscriptSummary
from neuron_whisper.longform.batched import decode_batched, find_window_end, group_regions
from neuron_whisper.longform.clip_context import PromptState
from neuron_whisper.longform.drivers import run_plan
from neuron_whisper.transcript import Segment
from tests.support.plans import (
    ScriptedDecoder,
    make_clip_context,
    make_pauseless_map,
    run_to_end,
    timestamp_at,
    two_segments,
)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(20, 2900)), min_size=1, max_size=7), st.integers(1, 5))
def test_regions_in_parallel_give_the_same_segments_in_order_as_one_by_one(
    pieces: list[tuple[int, int]], concurrency: int
) -> None:
    regions, end = [], 0
    for gap, length in pieces:
        regions.append((end + gap, end + gap + length))
        end += gap + length
    clip_data = make_clip_context(end / 100, vad_filter=False)
    together, _, summary = run_to_end(
        decode_batched(clip_data, PromptState(language="en"), regions, concurrency=concurrency),
        ScriptedDecoder(two_segments),
    )
    alone = [
        segment
        for region in regions
        for segment in run_to_end(
            decode_batched(clip_data, PromptState(language="en"), [region], concurrency=1),
            ScriptedDecoder(two_segments),
        )[0]
    ]
    assert [(it.text, it.start_s, it.end_s) for it in together] == [(it.text, it.start_s, it.end_s) for it in alone]
    assert [segment.id for segment in together] == list(range(len(together)))
    starts = [segment.start_s for segment in together]
    assert starts == sorted(starts)
    assert summary.text == "".join(segment.text for segment in together).strip()


def test_as_many_windows_decode_at_once_as_concurrency_allows() -> None:
    waiting: list[int] = []

    class Held(ScriptedDecoder):
        def __call__(self, request: WindowRequest, *, is_first: bool) -> Future[DecodingResult]:
            waiting.append(1)
            return super().__call__(request, is_first=is_first)

    clip_data = make_clip_context(100, vad_filter=False, condition_on_previous_text=False)
    plan = decode_batched(
        clip_data, PromptState(language="en"), [(n, n + 900) for n in range(0, 9000, 1000)], concurrency=4
    )
    submitted = 0
    for item in run_plan(plan, Held()):
        submitted = submitted or len(waiting)
        assert isinstance(item, (Segment, TranscriptSummary))
    assert submitted == 4


def test_regions_of_a_group_are_prompted_with_the_text_before_them_if_conditioned() -> None:
    regions = [(n, n + 900) for n in range(0, 9 * 900, 900)]
    prompts: dict[bool, list[tuple[int, ...]]] = {}
    texts: dict[bool, list[list[int]]] = {}
    for conditions in (True, False):
        decoder = ScriptedDecoder()
        clip_data = make_clip_context(81, vad_filter=False, condition_on_previous_text=conditions)
        found, _, _ = run_to_end(decode_batched(clip_data, PromptState(language="en"), regions, concurrency=8), decoder)
        prompt_of_window = {request.mel.tobytes(): tuple(request.options.prompt) for request in decoder.requests}
        prompts[conditions] = [prompt_of_window[clip_data.mel.cut_window(*region).tobytes()] for region in regions]
        texts[conditions] = [list(segment.tokens) for segment in found]
    assert prompts[False] == [()] * 9
    tokens = texts[True]
    # three groups of three
    before = [tokens[first:end] for first in (0, 3, 6) for end in range(first, first + 3)]
    assert prompts[True] == [tuple(chain.from_iterable(texts)) for texts in before]


@given(st.integers(0, 100), st.integers(1, 9))
def test_groups_hold_every_region_once_and_have_even_sizes(n: int, max_size: int) -> None:
    regions = [(start, start + 1) for start in range(n)]
    made = [list(one) for one in group_regions(regions, max_size)]
    assert list(chain.from_iterable(made)) == regions
    lengths = [len(one) for one in made]
    assert max(lengths, default=1) <= max_size
    assert max(lengths, default=0) - min(lengths, default=0) <= 1
    assert len(made) == -(-n // max_size)


def test_other_groups_wait_until_the_first_has_detected_the_language() -> None:
    decoder = ScriptedDecoder()
    clip_data = make_clip_context(60, vad_filter=False, condition_on_previous_text=False)
    plan = decode_batched(clip_data, PromptState(language=None), [(0, 900), (1000, 1900), (2000, 2500)], concurrency=3)
    _, _, summary = run_to_end(plan, decoder)
    assert [request.options.language for request in decoder.requests] == [None, "de", "de"]
    assert summary.language == "de"


@pytest.mark.parametrize(
    ("seek", "regions", "end"),
    [
        (0, [(0, 900)], 900),
        (0, [(0, 2900), (2900, 4900)], 2900),  # nothing of the next one fits
        (2500, [(0, 2900), (2900, 4900)], 4900),  # what the first window left, and all of the next region
        (1000, [(0, 2900), (2900, 4900)], 3900),  # up to a pause in it
        (2500, [(0, 2900), (2900, 3900), (3900, 6900)], 4900),  # through a region into another
        (2500, [(0, 2800), (3200, 4000)], 2800),  # a long silence between them
        (2500, [(0, 2800), (2950, 4000)], 2800),  # speech between them, in a range that is left out
        (2890, [(0, 2900), (2900, 4900)], 4900),
    ],
)
def test_a_window_takes_what_fits_of_the_regions_behind_its_own(
    seek: int, regions: list[tuple[int, int]], end: int
) -> None:
    pauses = {3200: [(0.0, 28.0), (32.0, 40.0)]}
    speech = pauses.get(regions[-1][0], [(0, 28), (28.3, 29), (29, 39), (39, 49), (49, 69)])
    clip_data = make_clip_context(70, make_pauseless_map(*speech))
    assert find_window_end(clip_data, regions, seek) == end


@pytest.mark.parametrize("clip_timestamps", [(0, 10, 12, 30), (0, 10, 11, 30), (0, 11, 12, 30)])
def test_no_window_crosses_the_edge_of_a_range(clip_timestamps: tuple[float, ...]) -> None:
    clip_data = make_clip_context(30, make_pauseless_map((0, 10), (12, 30)), clip_timestamps=clip_timestamps)
    assert find_window_end(clip_data, [(0, 1000), (1200, 3000)], 500) == 1000


def test_no_window_takes_speech_behind_its_region_where_each_has_a_language_of_its_own() -> None:
    clip_data = make_clip_context(49, make_pauseless_map((0, 29), (29, 49)), multilingual=True)
    assert find_window_end(clip_data, [(0, 2900), (2900, 4900)], 2000) == 2900


def test_a_rest_without_speech_moves_no_window_behind_it() -> None:
    clip_data = make_clip_context(49, make_pauseless_map((0, 27), (29, 49)))
    assert find_window_end(clip_data, [(0, 2900), (2900, 4900)], 2750) == 2900
    assert find_window_end(clip_data, [(0, 2900), (2900, 4900)], 2650) == 4900


def test_speech_without_text_before_a_gap_is_told_of() -> None:
    clip_data = replace(make_clip_context(45, make_pauseless_map((0, 29), (31, 38), (38, 45))), tries_again=False)
    texts = iter(
        [
            [timestamp_at(0), *b" first", timestamp_at(2600), timestamp_at(2600)],
            [timestamp_at(0), *b" a", timestamp_at(100), timestamp_at(450), timestamp_at(450)],  # ends in the gap
        ]
    )

    def script(request: WindowRequest) -> list[int]:
        return next(texts, [timestamp_at(0), *b" the rest of it", timestamp_at(request.frames)])

    plan = decode_batched(clip_data, PromptState(language="en"), [(0, 2900), (3100, 4500)], concurrency=1)
    segments, skipped, _ = run_to_end(plan, ScriptedDecoder(script))
    assert [(it.start_s, it.end_s) for it in segments] == [(0.0, 26.0), (26.0, 27.0), (31.0, 45.0)]
    assert [(it.start_s, it.end_s, it.reason) for it in skipped] == [(27.0, 31.0, "no_text")]


def test_what_a_window_does_not_reach_is_decoded_with_the_speech_behind_it() -> None:
    clip_data = make_clip_context(49, make_pauseless_map((0, 14), (14, 29), (29, 39), (39, 49)))
    decoder = ScriptedDecoder(two_segments)
    plan = decode_batched(
        replace(clip_data, tries_again=False), PromptState(language="en"), [(0, 2900), (2900, 4900)], concurrency=2
    )
    segments, _, _ = run_to_end(plan, decoder)
    # (0 s, 29 s), then up to the pauses at 39 s and 49 s from where the text before ended; the last one in parts
    assert [request.frames for request in decoder.requests] == [2900, 2450, 2226, 1114, 558]
    assert [it.start_s for it in segments] == [0.0, *(it.end_s for it in segments[:-1])]
    assert segments[-1].end_s == 49.0
