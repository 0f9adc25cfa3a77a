"""Chinese converted to one script by OpenCC; every other language as the model wrote it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.bench.accuracy.metrics import count_character_errors
from neuron_whisper.text.chinese import convert_words, load_converter


def test_a_phrase_is_converted_as_a_phrase() -> None:
    assert load_converter("traditional")("头发发财，皇后在后面") == "頭髮發財，皇后在後面"
    assert load_converter("simplified")("頭髮發財，皇后在後面") == "头发发财，皇后在后面"


def test_words_are_cut_from_the_converted_phrase() -> None:
    assert convert_words(["头", "发", "发财"], load_converter("traditional")) == ["頭", "髮", "發財"]


@given(st.lists(st.text(st.sampled_from("头发后面里干台a ,。"), min_size=1), max_size=6))
def test_words_join_to_the_converted_text(words: list[str]) -> None:
    convert = load_converter("traditional")
    assert "".join(convert_words(words, convert)) == convert("".join(words))


def test_error_rates_do_not_depend_on_the_script() -> None:
    assert count_character_errors("头发后面", "頭髮後面", "zh").errors == 0
    assert count_character_errors("头发后面", "頭髮後", "zh").errors == 1
