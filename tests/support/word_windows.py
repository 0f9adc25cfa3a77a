"""Random draw_windows of segments with timed words."""

from __future__ import annotations

import itertools

from hypothesis import strategies as st

from neuron_whisper.decode.alignment import WordTiming
from neuron_whisper.decode.segments import SegmentTokens

WORDS = [" a", " so", "day", " (", ' "', " ", "-", " -", ".", ",", "?!", "。", ")", '"', "...", " x "]


def timing(text: str, start_s: float, end_s: float, tokens: tuple[int, ...] = (1,)) -> WordTiming:
    return WordTiming(text=text, tokens=tokens, start_s=start_s, end_s=end_s, probability=0.5)


@st.composite
def draw_windows(draw: st.DrawFn) -> tuple[list[SegmentTokens], list[list[WordTiming]], int, float]:
    """Spans, their words, the window's seek, when speech ended before. Words touch, as DTW leaves them."""
    steps = st.sampled_from([0, 1, 5, 10, 15, 20, 31, 34, 60, 200])  # of 20 ms
    offsets = st.sampled_from([-50, -30, -26, -25, -10, 0, 10, 25, 26, 30, 50])
    counts = draw(st.lists(st.integers(0, 5), min_size=1, max_size=4))
    seek = draw(st.sampled_from([0, 37, 1500, 123457]))
    ends = list(itertools.accumulate(draw(st.lists(steps, min_size=sum(counts), max_size=sum(counts)))))
    times = [0, *(min(end, 1500) for end in ends)]
    segments, timings = [], []
    token = 0
    for count in counts:
        start, end = sorted((times[token] + draw(offsets), times[token + count] + draw(offsets)))
        words = []
        for place in range(count):
            # a plain word at both ends: openai-whisper joins marks across segments
            text = " a" if place in (0, count - 1) else draw(st.sampled_from(WORDS))
            words.append(timing(text, times[token] / 50, times[token + 1] / 50, (token,)))
            token += 1
        timings.append(words)
        segments.append(
            SegmentTokens(
                start_s=seek / 100 + max(0, start) * 0.02,
                end_s=seek / 100 + max(0, min(end, 1500)) * 0.02,
                tokens=tuple(token for word in words for token in word.tokens),
            )
        )
    return segments, timings, seek, draw(st.sampled_from([0.0, seek / 100, max(0.0, seek / 100 - 5)]))
