"""From attention to the times of words, against openai-whisper's timing.py."""

from __future__ import annotations

import os
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import whisper
import whisper.timing
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from whisper.model import ModelDimensions, Whisper

from neuron_whisper.artifact.cache_directory import default_cache_directory
from neuron_whisper.audio.load import load_audio
from neuron_whisper.audio.mel import LogMel
from neuron_whisper.decode.alignment import (
    WordTiming,
    align_words,
    build_alignment_tokens,
    find_token_times,
    split_words,
)
from neuron_whisper.decode.dtw import dtw
from neuron_whisper.decode.segments import split_at_timestamps
from neuron_whisper.decode.words import assign_words
from neuron_whisper.errors import BuildError, InvalidOption
from neuron_whisper.model.checkpoint import open_checkpoint
from neuron_whisper.model.dims import default_alignment_heads
from neuron_whisper.model.sources import resolve_model
from neuron_whisper.target.interfaces import ProgramSpec
from neuron_whisper.target.reference.session import ReferenceSession
from neuron_whisper.text.special_tokens import SpecialTokens
from neuron_whisper.text.tokenizer import Tokenizer
from tests.support.openai_model import noise, openai_model, reference_session, tokenizer
from tests.support.paths import SPEECH

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


# --- the path -------------------------------------------------------------------------------------


def test_the_path_goes_where_it_is_cheap() -> None:
    rows, columns = dtw(np.array([[0, 9, 9], [9, 0, 0]]))
    assert (rows.tolist(), columns.tolist()) == ([0, 1, 1], [0, 1, 2])


@settings(deadline=None)  # the first call compiles openai-whisper's
@given(
    arrays.arrays(np.float64, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(-2, 2))
    | arrays.arrays(np.float64, st.tuples(st.integers(1, 9), st.integers(1, 30)), elements=st.floats(-4, 4, width=32))
)
def test_the_path_is_openais_also_among_equals(cost: NDArray[np.float64]) -> None:
    rows, columns = dtw(cost)
    expected = whisper.timing.dtw_cpu(cost)
    np.testing.assert_array_equal((rows, columns), expected)


def test_a_whole_window_is_openais_path_and_found_in_time() -> None:
    cost = np.random.default_rng(0).standard_normal((225, 1500))
    expected = whisper.timing.dtw_cpu(cost)
    took_s = []
    for _ in range(5):
        begin = time.thread_time()
        found = dtw(cost)
        took_s.append(time.thread_time() - begin)
    np.testing.assert_array_equal(found, expected)
    assert min(took_s) < 0.2, "about 20 ms on an idle core"


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
def test_attention_that_says_nothing_gives_times_all_the_same(n_frames: int) -> None:
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
def test_text_is_cut_into_words_as_openai_cuts_it(language: str, words: Tokenizer) -> None:
    text = TEXTS[language]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves its vocabulary file open
        theirs = whisper.tokenizer.get_tokenizer(True, language=language, task="transcribe")
    tokens = words.encode(text)
    found = split_words(words, tokens, language)
    expected = theirs.split_to_word_tokens([*tokens, theirs.eot])
    assert [word for word, _ in found] == expected[0][:-1]
    assert [group for _, group in found] == expected[1][:-1]
    assert "".join(word for word, _ in found) == text


@given(st.data())
def test_words_joined_are_the_text_whatever_the_tokens(words: Tokenizer, data: st.DataObject) -> None:
    # ids below 256 are single bytes, most of them no character
    tokens = data.draw(st.lists(st.integers(0, 255) | st.integers(0, 50256), max_size=12))
    language = data.draw(st.sampled_from(["en", "ja"]))
    found = split_words(words, tokens, language)
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


# --- a model --------------------------------------------------------------------------------------


def of_openai(model: Whisper, heads: tuple[tuple[int, int], ...], told: Any, *rest: Any) -> list[Any]:
    """openai-whisper's find_alignment with the heads named."""
    mask = torch.zeros(model.dims.n_text_layer, model.dims.n_text_head, dtype=torch.bool)
    for layer, head in heads:
        mask[layer, head] = True
    model.register_buffer("alignment_heads", mask.to_sparse(), persistent=False)
    return list(whisper.timing.find_alignment(model, told, *rest))


def openai_tokenizer(n_vocab: int, language: str = "en") -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves its vocabulary file open
        return whisper.tokenizer.get_tokenizer(n_vocab != ENGLISH, language=language, task="transcribe")


def same_words(found: list[WordTiming], expected: list[Any]) -> list[float]:
    """The differences of all times, the words being the same."""
    assert [word.text for word in found] == [word.word for word in expected]
    pairs = zip(found, expected, strict=True)
    return [abs(a - b) for f, e in pairs for a, b in ((f.start_s, e.start), (f.end_s, e.end))]


@pytest.mark.parametrize("n_vocab", [ENGLISH, MULTILINGUAL])
def test_word_times_of_a_model_are_openais(n_vocab: int, directory: Path) -> None:
    model, session, told = openai_model(n_vocab), reference_session(n_vocab), tokenizer(n_vocab, directory)
    for seed, n_frames in ((1, 3000), (2, 801), (3, 7)):
        mel = LogMel.from_samples(noise(30, seed), 80).cut_window(0)
        text = np.random.default_rng(seed).integers(0, 50000, 50).tolist()
        expected = of_openai(model, ((0, 0), (1, 1)), openai_tokenizer(n_vocab), text, torch.from_numpy(mel), n_frames)
        session.encode([0], mel[None])
        made = build_alignment_tokens(told, text, language="en", task="transcribe", max_tokens=64)
        (found,) = align_words(
            session.align(0, made.tokens),
            made.first_row,
            [text],
            [-1.0] * 50,
            told,
            language="en",
            n_frames=n_frames,
        )
        assert same_words(found, expected) == [0.0] * (2 * len(expected))
    session.close()


@pytest.mark.skipif(
    not (SPEECH / "manifest.tsv").exists(),
    reason="no recordings beside the repository: real words timed as by openai-whisper are not proved",
)
def test_word_times_of_real_speech_are_openais() -> None:
    try:
        checkpoint = open_checkpoint(resolve_model("tiny.en", cache=default_cache_directory(), offline=True))
    except BuildError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"tiny.en was not fetched ({error}): real words timed as by openai-whisper are not proved")
    assert checkpoint.tokenizer_file is not None
    dims = checkpoint.dims
    heads = checkpoint.alignment_heads or default_alignment_heads(dims)
    weights = {
        name: torch.from_numpy(np.array(checkpoint.tensor(name), np.float32)) for name in checkpoint.parameter_names
    }
    model = Whisper(ModelDimensions(**{name: getattr(dims, name) for name in dims.__slots__}))
    model.load_state_dict(weights, strict=False)
    told = Tokenizer.from_file(checkpoint.tokenizer_file, dims.n_vocab)
    session = ReferenceSession(
        ProgramSpec(
            dims=dims,
            special=SpecialTokens.from_vocab_size(dims.n_vocab),
            slots=1,
            beams=1,
            encode_batch=1,
            prompt_buckets=(4,),
            text_context=448,
            choices=1,
            align_buckets=(64,),
            alignment_heads=heads,
        ),
        [weights],
    )
    clip = load_audio(SPEECH / "en_jfk.flac")
    mel = LogMel.from_samples(clip.samples, dims.n_mels)
    window, n_frames = mel.cut_window(0), mel.content_frames
    text = told.encode(
        " And so my fellow Americans, ask not what your country can do for you, ask what you can do for your country."
    )
    expected = of_openai(model.eval(), heads, openai_tokenizer(dims.n_vocab), text, torch.from_numpy(window), n_frames)
    session.encode([0], window[None])
    made = build_alignment_tokens(told, text, language="en", task="transcribe", max_tokens=64)
    (found,) = align_words(
        session.align(0, made.tokens),
        made.first_row,
        [text],
        [-0.1] * len(text),
        told,
        language="en",
        n_frames=n_frames,
    )
    session.close()
    differences = same_words(found, expected)
    assert np.median(differences) == 0
    assert max(differences) <= 0.02, "float32 twice: the same to a frame"
    by_word = {word.text: word for word in found}
    assert by_word[" ask"].start_s == pytest.approx(8.2, abs=0.4), "the second one"
    assert by_word[" country"].end_s == pytest.approx(10.5, abs=0.4)
