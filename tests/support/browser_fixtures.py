"""Responses of the audio API in every format, which the page's exports are compared with byte by byte.

`python -m tests.support.browser_fixtures` writes them again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import msgspec

from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.formats.subtitles import SubtitleOptions
from neuron_whisper.server.audio.request import AudioRequest
from neuron_whisper.server.audio.response import ResponseFormatter
from neuron_whisper.server.audio.sse import SegmentEventFormatter
from neuron_whisper.transcript import Retry, SkippedRegion, Transcript, Word
from tests.support.paths import ROOT
from tests.support.transcripts import QUOTE, make_segment, make_segment_of_words, make_transcript

FIXTURES = ROOT / "tests" / "browser" / "fixtures" / "formats.json"
LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


def _make_hard_text() -> Transcript:
    segments = (
        make_segment(0.0, 1.0, " one\ntwo\r\n three\n", 0),
        make_segment(1.0, 2.0, " a --> b ---> c -- > d <v Eve> & 'e' \"f\" \\ /", 1),
        make_segment(2.0, 3.0, " 𝄞 😀👩‍👩‍👧 \u200b\ufeff e\u0301 \x7f\t", 2),
        make_segment(3.0, 4.0, "".join(f"{at}{end}" for at, end in enumerate(LINE_ENDS)), 3),
        make_segment(4.0, 5.0, "\xa0\u3000 \x1f\x00\x08 spaces \u2003\x1f", 4),
        make_segment(5.0, 6.0, " \n ", 5),
        make_segment(6.0, 7.0, "日本語", 6),
    )
    return make_transcript(*segments, language="ja")


def _make_exponents() -> Transcript:
    segments = tuple(
        replace(make_segment(at, at + 0.5, f" {at}", at), avg_logprob=-number, no_speech_prob=number, temperature=0.2)
        for at, number in enumerate((1e-12, 1.234e-6, 1e-5, 0.00012, 0.1 + 0.2, 1.0, 5e-324, 123456.0, 1e16, 2.5e21))
    )
    return make_transcript(*segments)


def _make_notes() -> Transcript:
    words = tuple(
        Word(start_s=at / 3, end_s=(at + 1) / 3, text=text, probability=probability)
        for at, (text, probability) in enumerate(((" What", 1.0), (" was", 0.0), (" left", 0.98765), (" out.", 1e-5)))
    )
    segment = replace(
        make_segment(0.0, 4 / 3, " What was left out.", 0, words),
        retries=(Retry(temperature=0.0, reason="compression_ratio"), Retry(temperature=0.2, reason="avg_logprob")),
        is_truncated=True,
        language="de",
    )
    skipped = (
        SkippedRegion(start_s=1.5, end_s=30.0, reason="vad"),
        SkippedRegion(start_s=30.0005, end_s=31.0015, reason="hallucination", text=" Thanks --> bye"),
    )
    warnings = ("2.0 s of speech have no text", 'a "quoted" warning')
    return replace(make_transcript(segment), task="translate", language="de", skipped=skipped, warnings=warnings)


# by name; each is said in the fewest segments that show it
TRANSCRIPTS: Mapping[str, Transcript] = MappingProxyType(
    {
        "two segments of words": QUOTE,
        "no segment": replace(make_transcript(language=None), duration_s=0.0),
        "hard text": _make_hard_text(),
        "hours": make_transcript(
            make_segment(3599.9994, 3599.9996, " before and after an hour", 0),
            make_segment(3600.0, 3661.5, " one hour", 1),
            make_segment(360_000.0, 1_000_000.125, " a hundred hours", 2),
        ),
        "halves of milliseconds": make_transcript(
            *(make_segment(at + 0.0005, at + 0.0025, f" {at}", at) for at in range(12)),
            *(make_segment(at + 0.4995, at + 0.5015, f" {at}", at) for at in range(12, 24)),
        ),
        "numbers with exponents": _make_exponents(),
        "notes of decoding, skipped regions, warnings": _make_notes(),
        "words without spaces": make_transcript(
            make_segment_of_words("今日", "は", "良い", "天気", "です。"),
            make_segment_of_words("そう", "ですね。", start_s=2.5, n=1),
        ),
        "a duration that rounds down to a whole second": replace(QUOTE, duration_s=11.0002),
    }
)


def make_fixtures() -> str:
    """JSON of each transcript's responses: verbose_json, the last event of a stream, deltas, text, srt, vtt."""
    cases = [{"name": name, **_format_all(transcript)} for name, transcript in TRANSCRIPTS.items()]
    return json.dumps(cases, indent=1) + "\n"


def _format_all(transcript: Transcript) -> dict[str, Any]:
    bodies = {name: _format(transcript, name) for name in ("verbose_json", "text", "srt", "vtt")}
    events = SegmentEventFormatter(_make_formatter("verbose_json"))
    return bodies | {"done": msgspec.json.encode(events.format_done(transcript)).decode()}


def _format(transcript: Transcript, name: str) -> str:
    body = _make_formatter(name).format_response(transcript).content
    assert isinstance(body, bytes)
    return body.decode()


def _make_formatter(response_format: str) -> ResponseFormatter:
    request = AudioRequest(
        model=None,
        response_format=response_format,
        options=TranscribeOptions(word_timestamps=True),
        subtitles=SubtitleOptions(),
        timestamp_granularities=frozenset({"segment", "word"}),
        include_logprobs=False,
        stream=False,
    )
    # only log-probabilities and deltas need the tokenizer
    return ResponseFormatter(request=request, tokenizer=None)  # type: ignore[arg-type]


if __name__ == "__main__":
    FIXTURES.write_text(make_fixtures(), encoding="utf-8")
