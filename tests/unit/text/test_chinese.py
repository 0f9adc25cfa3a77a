"""Chinese converted to one script by OpenCC; every other language as the model wrote it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.bench.accuracy.metrics import count_character_errors
from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.errors import InvalidOption
from neuron_whisper.longform.chinese_script import convert_script
from neuron_whisper.longform.plan import Plan, PlanItem, TranscriptSummary
from neuron_whisper.text.chinese import convert_words, load_converter
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


def test_a_phrase_is_converted_as_a_phrase() -> None:
    assert load_converter("traditional")("头发发财，皇后在后面") == "頭髮發財，皇后在後面"
    assert load_converter("simplified")("頭髮發財，皇后在後面") == "头发发财，皇后在后面"


def test_words_are_cut_from_the_converted_phrase() -> None:
    assert convert_words(["头", "发", "发财"], load_converter("traditional")) == ["頭", "髮", "發財"]


@given(st.lists(st.text(st.sampled_from("头发后面里干台a ,。"), min_size=1), max_size=6))
def test_words_join_to_the_converted_text(words: list[str]) -> None:
    convert = load_converter("traditional")
    assert "".join(convert_words(words, convert)) == convert("".join(words))


def test_segments_words_skipped_regions_and_the_whole_text_are_converted_and_tokens_are_not() -> None:
    found = convert_items(
        "traditional",
        segment("头发", "zh", ("头", "发")),
        SkippedRegion(start_s=1, end_s=2, reason="vad", text="头发"),
        TranscriptSummary(text="头发", language="zh", language_probability=0.9),
    )
    first, dropped, outcome = found
    assert isinstance(first, Segment)
    assert (first.text, [word.text for word in first.words], first.tokens) == ("頭髮", ["頭", "髮"], (1, 2))
    assert isinstance(dropped, SkippedRegion)
    assert isinstance(outcome, TranscriptSummary)
    assert (dropped.text, outcome.text) == ("頭髮", "頭髮")


@pytest.mark.parametrize("language", ["ja", "en", None])
def test_other_languages_stay_as_they_are(language: str | None) -> None:
    said = segment("会議室の後ろ、国", language)
    whole = TranscriptSummary(text="会議室の後ろ、国", language=language or "en", language_probability=None)
    assert convert_items("traditional", said, whole) == [said, whole]


def test_answers_reach_the_plan_that_is_wrapped() -> None:
    got: list[object] = []

    def plan() -> Plan:
        got.append((yield segment("国", "yue")))
        yield TranscriptSummary(text="国", language="yue", language_probability=None)

    wrapped = convert_script(plan(), load_converter("traditional"))
    next(wrapped)
    wrapped.send(None)
    assert got == [None]


def test_another_script_is_refused_by_name() -> None:
    with pytest.raises(InvalidOption, match="chinese_script: 'hant' is not allowed; one of simplified, traditional"):
        TranscribeOptions(chinese_script="hant")


def test_error_rates_do_not_depend_on_the_script() -> None:
    assert count_character_errors("头发后面", "頭髮後面", "zh").errors == 0
    assert count_character_errors("头发后面", "頭髮後", "zh").errors == 1
