"""The layout of subtitles, against openai-whisper's."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.errors import InvalidOption
from neuron_whisper.formats.render import (
    SubtitleOptions,
    render,
)
from neuron_whisper.transcript import Segment
from tests.support.transcripts import QUOTE, TWO_SEGMENTS, make_segment, make_segment_of_words, make_transcript


def test_lines_and_cues_end_where_the_limits_say() -> None:
    assert render(QUOTE, "srt", SubtitleOptions(max_line_width=12, max_line_count=2)) == (
        "1\n00:00:00,000 --> 00:00:02,400\nAsk not what\nyour country\n\n"
        "2\n00:00:02,500 --> 00:00:04,400\ncan do for\nyou.\n\n"
    )


def test_a_width_alone_keeps_segments_apart() -> None:
    assert render(QUOTE, "vtt", SubtitleOptions(max_line_width=8)) == (
        "WEBVTT\n\n00:00.000 --> 00:02.400\nAsk not\nwhat\nyour\ncountry\n\n"
        "00:02.500 --> 00:04.400\ncan do\nfor you.\n\n"
    )


def test_a_cue_holds_at_most_the_given_number_of_words() -> None:
    shown = render(QUOTE, "srt", SubtitleOptions(max_words_per_line=2)).split("\n\n")[:-1]
    assert [cue.split("\n")[2] for cue in shown] == ["Ask not", "what your", "country", "can do", "for you."]


def test_each_word_is_underlined_while_it_is_spoken() -> None:
    transcript = make_transcript(make_segment_of_words(" Ask", " not"))
    assert render(transcript, "vtt", SubtitleOptions(highlight_words=True)) == (
        "WEBVTT\n\n00:00.000 --> 00:00.400\n<u>Ask</u> not\n\n"
        "00:00.400 --> 00:00.500\nAsk not\n\n00:00.500 --> 00:00.900\nAsk <u>not</u>\n\n"
    )


def test_without_options_a_cue_is_a_segment_with_or_without_words() -> None:
    bare = make_transcript(*(make_segment(s.start_s, s.end_s, s.text, s.id) for s in QUOTE.segments))
    assert render(QUOTE, "srt") == render(bare, "srt") == render(QUOTE, "srt", SubtitleOptions())


@pytest.mark.parametrize(
    ("options", "allowed"),
    [
        ({"max_line_width": 0}, "max_line_width: 0 is not allowed; a whole number from 1"),
        ({"max_line_width": 2.5}, "max_line_width: 2.5 is not allowed"),
        ({"max_words_per_line": True}, "max_words_per_line: True is not allowed"),
        ({"max_line_count": 2}, "max_line_count: 2 is not allowed; it needs max_line_width"),
        ({"max_line_width": 20, "max_words_per_line": 3}, "give it or max_line_width"),
    ],
)
def test_limits_that_cannot_be_kept_are_refused(options: dict[str, Any], allowed: str) -> None:
    with pytest.raises(InvalidOption, match=allowed):
        SubtitleOptions(**options)


def test_options_that_need_word_times_are_refused_without_them() -> None:
    with pytest.raises(InvalidOption, match=r"highlight_words: .* it needs word_timestamps"):
        render(TWO_SEGMENTS, "srt", SubtitleOptions(highlight_words=True))


LAYOUTS = st.one_of(
    st.builds(SubtitleOptions, max_line_width=st.integers(1, 30), highlight_words=st.booleans()),
    st.builds(
        SubtitleOptions,
        max_line_width=st.integers(1, 30),
        max_line_count=st.integers(1, 3),
        highlight_words=st.booleans(),
    ),
    st.builds(SubtitleOptions, max_words_per_line=st.integers(1, 5), highlight_words=st.booleans()),
    st.just(SubtitleOptions(highlight_words=True)),
)


WORDS = st.lists(
    st.lists(st.sampled_from([" a", " well-known", " 日本", "語", " 12", "%", " friends."]), min_size=1, max_size=6),
    min_size=1,
    max_size=4,
)


@given(WORDS, st.lists(st.floats(0.0, 8.0), min_size=4, max_size=4), LAYOUTS)
def test_cues_are_openai_whispers(texts: list[list[str]], pauses: list[float], options: SubtitleOptions) -> None:
    utils: Any = pytest.importorskip(
        "whisper.utils", reason="openai-whisper is not installed: that cues equal its cues is not proved"
    )
    segments: list[Segment] = []
    end_s = 0.0
    for words, pause in zip(texts, pauses, strict=False):
        segments.append(make_segment_of_words(*words, start_s=end_s + pause, n=len(segments)))
        end_s = segments[-1].end_s
    theirs = {
        "segments": [
            {
                "start": s.start_s,
                "end": s.end_s,
                "text": s.text,
                "words": [{"word": w.text, "start": w.start_s, "end": w.end_s} for w in s.words],
            }
            for s in segments
        ]
    }
    named = {name: getattr(options, name) for name in options.__slots__}
    for fmt in ("srt", "vtt"):
        file = io.StringIO()
        utils.get_writer(fmt, "/").write_result(theirs, file=file, options=named)
        assert render(make_transcript(*segments), fmt, options) == file.getvalue()


@given(WORDS, LAYOUTS)
def test_every_word_is_in_a_cue_and_no_line_is_wider_than_asked(
    texts: list[list[str]], options: SubtitleOptions
) -> None:
    shown = render(
        make_transcript(*(make_segment_of_words(*words, start_s=9.0 * n) for n, words in enumerate(texts))),
        "srt",
        options,
    )
    lines = [line for cue in shown.split("\n\n")[:-1] for line in cue.split("\n")[2:]]
    assert all(lines)
    width = options.max_line_width or 10**6
    words = {word.strip() for segment in texts for word in segment}
    plain = [line.replace("<u>", "").replace("</u>", "") for line in lines]
    assert all(len(line) <= width or line in words for line in plain)
    if not options.highlight_words:
        joined = "".join(word for segment in texts for word in segment)
        assert "".join(plain).replace(" ", "") == joined.replace(" ", "")
