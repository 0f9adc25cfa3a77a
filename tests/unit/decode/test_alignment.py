"""From attention to the times of words, against openai-whisper's timing.py."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import whisper
import whisper.timing
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from neuron_whisper.decode.alignment import (
    align_words,
    build_alignment_tokens,
    find_token_times,
    split_words,
)
from neuron_whisper.decode.segments import split_at_timestamps
from neuron_whisper.decode.words import assign_words
from neuron_whisper.errors import InvalidOption
from neuron_whisper.text.tokenizer import Tokenizer
from neuron_whisper.text.word_splitting import OPENAI, WHOLE
from tests.support.openai_model import tokenizer

ENGLISH, MULTILINGUAL = 51864, 51865
TEXTS = {
    "en": " Call 0800-123 456 now: it's £3.50 (or “free”), she said... OK?!",
    "de": " Für 1.234,56 € nach Übersee – wirklich!",
    "ja": "東京は22度、晴れです。👩\u200d👧と「散歩」",
    "zh": "价格是１２３元，好吗？𠮷野家",
    "th": "สวัสดีครับ ๑๒๓",
    "ko": " 안녕하세요 123 원입니다 🎉🎉.",
    "hi": " नमस्ते दुनिया १२३।",
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tokenizers")


@pytest.fixture(scope="module")
def words(directory: Path) -> Tokenizer:
    return tokenizer(MULTILINGUAL, directory)


def attention_of(rng: np.random.Generator, heads: int, rows: int, steps: int = 1500) -> NDArray[np.float32]:
    """Attention that wanders from the start to the end of the audio, as a real head's does, with noise."""
    at = np.sort(rng.uniform(0, steps, (1, rows, 1)), axis=1)
    scores = -np.abs(np.arange(steps) - at) / 20 + rng.normal(0, 1, (heads, rows, steps))
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return np.asarray(weights / weights.sum(-1, keepdims=True), np.float32)


# --- times ----------------------------------------------------------------------------------------


def openai_times(attention: NDArray[np.float32], first_row: int, n_frames: int) -> NDArray[np.float64]:
    """What openai-whisper makes of the scores which this attention is the softmax of."""
    scores = torch.from_numpy(attention).log()[:, :, : n_frames // 2]
    weights = scores.softmax(-1)
    std, mean = torch.std_mean(weights, dim=-2, keepdim=True, unbiased=False)
    matrix = whisper.timing.median_filter((weights - mean) / std, 7).mean(axis=0)[first_row:-1]
    rows, columns = whisper.timing.dtw(-matrix)
    jumps = np.pad(np.diff(rows), (1, 0), constant_values=1).astype(bool)
    return np.asarray(columns[jumps] / 50)


@pytest.mark.parametrize(("heads", "rows", "n_frames"), [(6, 40, 3000), (10, 229, 3000), (1, 6, 333), (3, 12, 7)])
def test_times_of_tokens_are_openais(heads: int, rows: int, n_frames: int) -> None:
    attention = attention_of(np.random.default_rng(rows), heads, rows, steps=max(150, n_frames // 2))
    times = find_token_times(attention, 3, n_frames)
    np.testing.assert_array_equal(times, openai_times(attention, 3, n_frames))
    assert len(times) == rows - 4
    assert len(set(times.tolist())) > 1


@pytest.mark.parametrize("n_frames", [0, 1, 2, 5, 3000])
def test_uniform_attention_gives_times_all_the_same(n_frames: int) -> None:
    for attention in (np.zeros((2, 8, 1500), np.float32), np.full((2, 8, 1500), 1 / 1500, np.float32)):
        times = find_token_times(attention, 1, n_frames)
        assert len(times) == 6
        assert np.all(np.diff(times) >= 0)
        assert times[0] == 0
        assert times[-1] <= n_frames / 100


# --- words ----------------------------------------------------------------------------------------


def test_the_aligned_tokens_are_the_start_the_text_and_the_end(words: Tokenizer, directory: Path) -> None:
    made = build_alignment_tokens(words, [11, 12], language="ja", task="translate", max_tokens=64)
    assert made.tokens.tolist() == [50258, 50266, 50358, 50363, 11, 12, 50257]
    assert made.first_row == 3
    assert made.tokens.dtype == np.int32
    english = tokenizer(ENGLISH, directory)
    made = build_alignment_tokens(english, [11, 12], language=None, task="transcribe", max_tokens=64)
    assert made.tokens.tolist() == [50257, 50362, 11, 12, 50256]
    assert made.first_row == 1
    with pytest.raises(InvalidOption, match="language"):
        build_alignment_tokens(words, [11], language=None, task="transcribe", max_tokens=64)


def test_the_longest_text_fits_the_longest_bucket(words: Tokenizer) -> None:
    made = build_alignment_tokens(words, list(range(224)), language="en", task="transcribe", max_tokens=256)
    assert len(made.tokens) == 229


def test_words_beyond_the_bucket_come_last_and_have_no_length(words: Tokenizer) -> None:
    text = words.encode(" one two three four five six seven")
    made = build_alignment_tokens(words, text, language="en", task="transcribe", max_tokens=9)
    assert made.tokens.tolist() == [50258, 50259, 50359, 50363, *text[:4], 50257]
    attention = attention_of(np.random.default_rng(0), 2, 9)
    (found,) = align_words(attention, 3, [text], [-1.0] * 7, words, language="en", n_frames=3000)
    assert "".join(word.text for word in found) == " one two three four five six seven"
    assert all(word.end_s > word.start_s for word in found[:3])
    last = found[3].end_s
    assert [(word.start_s, word.end_s) for word in found[4:]] == [(last, last)] * 3


@pytest.mark.parametrize("language", TEXTS)
def test_text_is_split_into_words_as_by_openai(language: str, words: Tokenizer) -> None:
    text = TEXTS[language]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves its vocabulary file open
        theirs = whisper.tokenizer.get_tokenizer(True, language=language, task="transcribe")
    tokens = words.encode(text)
    found = split_words(words, tokens, language, OPENAI)
    expected = theirs.split_to_word_tokens([*tokens, theirs.eot])
    assert [word for word, _ in found] == expected[0][:-1]
    assert [group for _, group in found] == expected[1][:-1]
    assert "".join(word for word, _ in found) == text


@given(st.data())
def test_words_joined_are_the_text_whatever_the_tokens(words: Tokenizer, data: st.DataObject) -> None:
    # ids below 256 are single bytes, most of them no character
    tokens = data.draw(st.lists(st.integers(0, 255) | st.integers(0, 50256), max_size=12))
    language = data.draw(st.sampled_from(["en", "ja"]))
    found = split_words(words, tokens, language, OPENAI)
    assert "".join(word for word, _ in found) == words.decode(tokens)
    assert [token for _, group in found for token in group] == tokens
    assert all(group for _, group in found)


def test_a_word_is_as_probable_as_its_tokens_on_average(words: Tokenizer) -> None:
    first, second = words.encode(" so"), words.encode(" Maintz")
    assert (len(first), len(second)) == (1, 3)
    logprobs = np.log([0.5, 0.2, 0.4, 0.9]).tolist()
    attention = attention_of(np.random.default_rng(0), 2, 9)
    found = align_words(attention, 3, [first, second], logprobs, words, language="en", n_frames=3000)
    assert [[word.probability for word in part] for part in found] == [[pytest.approx(0.5)], [pytest.approx(0.5)]]


def test_a_word_ends_with_its_segment(words: Tokenizer) -> None:
    texts = [words.encode(" one"), words.encode("two"), words.encode(", three")]
    attention = attention_of(np.random.default_rng(0), 2, 4 + sum(map(len, texts)) + 1)
    found = align_words(attention, 3, texts, [0.0] * sum(map(len, texts)), words, language="en", n_frames=3000)
    assert [[word.text for word in part] for part in found] == [[" one"], ["two"], [",", " three"]]
    assert found[0][-1].end_s == found[1][0].start_s


LIKELY_TOKENS = st.integers(0, 50256) | st.integers(0, 255) | st.sampled_from([50364, 50365, 50400, 51000, 51864])


@settings(deadline=None)
@given(
    tokens=st.lists(LIKELY_TOKENS, max_size=30),
    language=st.sampled_from(["en", "zh"]),
    seed=st.integers(0, 9),
    n_frames=st.integers(1, 3000),
    seek=st.sampled_from([0, 41, 98765]),
    silent=st.booleans(),
)
def test_word_times_never_go_back_and_stay_in_segment_and_window(
    words: Tokenizer, tokens: list[int], language: str, seed: int, n_frames: int, seek: int, silent: bool
) -> None:
    spans, _ = split_at_timestamps(tokens, 50364, seek_frames=seek, window_frames=n_frames)
    texts = [[token for token in span.tokens if token < 50257] for span in spans]
    flat = [token for text in texts for token in text]
    made = build_alignment_tokens(words, flat, language=language, task="transcribe", max_tokens=64)
    rng = np.random.default_rng(seed)
    attention = rng.random((2, len(made.tokens), 1500), np.float32)
    if silent:  # all attention beyond the audio: none is left
        attention[:, :, : n_frames // 2] = 0
    timings = align_words(
        attention, made.first_row, texts, [-1.0] * len(flat), words, language=language, n_frames=n_frames
    )
    found = assign_words(spans, timings, seek_frames=seek, window_frames=n_frames, last_speech_s=0.0)
    at = seek / 100
    for span, text in zip(found, texts, strict=True):
        assert "".join(word.text for word in span.words) == words.decode(text)
        for word in span.words:
            assert span.start_s <= word.start_s <= word.end_s <= span.end_s
            assert at <= word.start_s
            at = word.end_s
    assert at <= (seek + n_frames) / 100


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("fr", " Rien aujourd'hui, non.", [" Rien", " aujourd'hui", ",", " non", "."]),
        ("en", " It cost $1,250.75 at 10:30.", [" It", " cost", " $1,250.75", " at", " 10:30", "."]),
        ("en", " We won 3-2 by e-mail.", [" We", " won", " 3-2", " by", " e-mail", "."]),
        ("en", " Four o'clock: 50%!", [" Four", " o'clock", ":", " 50%", "!"]),
        ("ja", "iPhone15で10:30に", ["iPhone15", "で", "10:30", "に"]),
        ("km", "ខ្មែរ", ["ខ្មែ", "រ"]),
    ],
)
def test_whole_words_do_not_end_inside_of_one(language: str, text: str, expected: list[str], words: Tokenizer) -> None:
    found = split_words(words, words.encode(text), language)
    assert [word for word, _ in found] == expected
    assert [token for _, group in found for token in group] == words.encode(text)
    assert [word for word, _ in split_words(words, words.encode(text), language, OPENAI)] != expected


def test_a_whole_word_has_the_times_of_its_parts_and_their_mean_probability(words: Tokenizer) -> None:
    text = words.encode(" at 10:30")
    made = build_alignment_tokens(words, text, language="en", task="transcribe", max_tokens=64)
    attention = attention_of(np.random.default_rng(3), 2, len(made.tokens))
    logprobs = [-0.1 * n for n in range(len(text))]
    whole, parts = (
        align_words(attention, made.first_row, [text], logprobs, words, language="en", n_frames=3000, splitting=it)[0]
        for it in (WHOLE, OPENAI)
    )
    assert [word.text for word in whole] == [" at", " 10:30"]
    assert (whole[1].start_s, whole[1].end_s) == (parts[1].start_s, parts[-1].end_s)
    assert whole[1].probability == pytest.approx(np.exp(logprobs[1:]).mean())
