"""A plan's texts converted to one Chinese script; tokens and other languages stay."""

from __future__ import annotations

import pytest

from neuron_whisper.longform.chinese_script import convert_script
from neuron_whisper.longform.plan import Plan, PlanItem, TranscriptSummary
from neuron_whisper.text.chinese import load_converter
from neuron_whisper.transcript import Segment, SkippedRegion, Word


def segment(text: str, language: str | None, words: tuple[str, ...] = ()) -> Segment:
    return Segment(
        id=0,
        seek_s=0.0,
        start_s=0.0,
        end_s=1.0,
        text=text,
        tokens=(1, 2),
        temperature=0.0,
        avg_logprob=-0.1,
        compression_ratio=1.0,
        no_speech_prob=0.0,
        language=language,
        words=tuple(Word(start_s=0.0, end_s=1.0, text=word, probability=0.9) for word in words),
    )


def convert_items(script: str, *items: PlanItem) -> list[PlanItem]:
    def plan() -> Plan:
        yield from items

    return list(convert_script(plan(), load_converter(script)))


def test_segments_words_skipped_regions_and_the_whole_text_are_converted_and_tokens_are_not() -> None:
    found = convert_items(
        "traditional",
        segment("头发", "zh", ("头", "发")),
        SkippedRegion(start_s=1, end_s=2, reason="vad", text="头发"),
        TranscriptSummary(text="头发", language="zh", language_probability=0.9),
    )
    first, skipped, summary = found
    assert isinstance(first, Segment)
    assert (first.text, [word.text for word in first.words], first.tokens) == ("頭髮", ["頭", "髮"], (1, 2))
    assert isinstance(skipped, SkippedRegion)
    assert isinstance(summary, TranscriptSummary)
    assert (skipped.text, summary.text) == ("頭髮", "頭髮")


@pytest.mark.parametrize("language", ["ja", "en", None])
def test_other_languages_stay_as_they_are(language: str | None) -> None:
    original = segment("会議室の後ろ、国", language)
    whole = TranscriptSummary(text="会議室の後ろ、国", language=language or "en", language_probability=None)
    assert convert_items("traditional", original, whole) == [original, whole]


def test_results_reach_the_wrapped_plan() -> None:
    got: list[object] = []

    def plan() -> Plan:
        got.append((yield segment("国", "yue")))
        yield TranscriptSummary(text="国", language="yue", language_probability=None)

    wrapped = convert_script(plan(), load_converter("traditional"))
    next(wrapped)
    wrapped.send(None)
    assert got == [None]
