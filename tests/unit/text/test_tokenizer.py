"""The tokenizer against openai-whisper's: text, control tokens, suppression, words, files."""

from __future__ import annotations

import itertools
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.errors import CheckpointError, InvalidOption
from neuron_whisper.text.special_tokens import SpecialTokens
from neuron_whisper.text.tiktoken_import import find_packaged_ranks, tokenizer_json_from_tiktoken
from neuron_whisper.text.tokenizer import BYTE_TO_UNICODE, Tokenizer

ENGLISH, MULTILINGUAL, LARGE_V3 = 51864, 51865, 51866

TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.lists(
    st.sampled_from(
        [
            " ",
            "\n",
            "a",
            "The",
            " don't",
            "'S",
            "12",
            "日本語",
            " über",
            "мир",
            "한국",
            "سلام",
            "👩\u200d👧",
            "e\u0301",
            "\ufffd",
            "\u00a0",
            "\u3000",
            "<|endoftext|>",
            "<|0.02|>",
            "...",
            "♪",
            " (x)",
            "ไทย",
        ]
    ),
    max_size=12,
).map("".join)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """A tokenizer.json for each of OpenAI's vocabularies."""
    found = {}
    for n_vocab in (ENGLISH, MULTILINGUAL, LARGE_V3):
        try:
            ranks = find_packaged_ranks(n_vocab != ENGLISH)
        except CheckpointError as error:
            pytest.skip(f"that text becomes OpenAI's tokens is not proved: {error}")
        found[n_vocab] = tmp_path_factory.mktemp(str(n_vocab)) / "tokenizer.json"
        found[n_vocab].write_text(tokenizer_json_from_tiktoken(ranks, n_vocab), encoding="utf-8")
    return found


@pytest.fixture(scope="module")
def ours(files: dict[int, Path]) -> dict[int, Tokenizer]:
    return {n_vocab: Tokenizer.from_file(file, n_vocab) for n_vocab, file in files.items()}


@pytest.fixture(scope="module")
def base(ours: dict[int, Tokenizer]) -> Tokenizer:
    return ours[MULTILINGUAL]


@pytest.fixture(scope="module")
def theirs() -> Callable[..., Any]:
    """openai-whisper's tokenizer for a vocabulary, and a language where words are split."""
    whisper = pytest.importorskip(
        "whisper.tokenizer", reason="openai-whisper is not installed: equality with it is not proved"
    )

    def tokenizer(n_vocab: int, language: str = "en", task: str = "transcribe") -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # it leaves its rank file open
            return whisper.get_tokenizer(
                n_vocab != ENGLISH,
                num_languages=100 if n_vocab == LARGE_V3 else 99,
                language=language,
                task=task,
            )

    return tokenizer


# --- text -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_vocab", [ENGLISH, MULTILINGUAL])
def test_text_becomes_openais_tokens_and_is_read_back(
    n_vocab: int, ours: dict[int, Tokenizer], theirs: Callable[..., Any]
) -> None:
    tokenizer, reference = ours[n_vocab], theirs(n_vocab)

    @given(TEXTS)
    def law(text: str) -> None:
        tokens = tokenizer.encode(text)
        assert tokens == reference.encoding.encode_ordinary(text)
        assert tokenizer.decode(tokens) == text

    law()


@pytest.mark.parametrize("n_vocab", [ENGLISH, MULTILINGUAL, LARGE_V3])
def test_any_tokens_are_read_as_openai_reads_them(
    n_vocab: int, ours: dict[int, Tokenizer], theirs: Callable[..., Any]
) -> None:
    tokenizer, reference = ours[n_vocab], theirs(n_vocab)
    assert tokenizer.n_vocab == reference.encoding.n_vocab == n_vocab

    @given(st.lists(st.integers(0, n_vocab - 1) | st.integers(0, 255)))
    def law(tokens: list[int]) -> None:
        assert tokenizer.decode_with_timestamps(tokens) == reference.decode_with_timestamps(tokens)
        assert tokenizer.decode(tokens) == reference.decode([t for t in tokens if t < reference.eot])

    law()


def test_a_known_sentence_has_known_tokens(base: Tokenizer) -> None:
    assert base.encode(" And so my fellow Americans") == [400, 370, 452, 7177, 6280]


def test_a_text_is_encoded_once_and_its_tokens_are_the_callers_own() -> None:
    special = SpecialTokens.from_layout(eot=256, n_languages=5, blank=ord(" "), is_multilingual=True)
    tokenizer = Tokenizer({BYTE_TO_UNICODE[byte]: byte for byte in range(256)}, [], special)
    cache: Any = tokenizer._encode
    for text in ("names", "names", "others", "names"):
        tokens = tokenizer.encode(text)
        assert tokens == list(text.encode())
        tokens.append(7)
    assert (cache.cache_info().misses, cache.cache_info().hits) == (2, 2)


def test_lone_surrogates_become_replacements_as_in_tiktoken(base: Tokenizer, theirs: Callable[..., Any]) -> None:
    for text in ("a\ud800b", "\ud83d\ude00", "\udc80"):
        assert base.encode(text) == theirs(MULTILINGUAL).encoding.encode_ordinary(text)
    assert base.decode(base.encode("\ud83d\ude00 \ud800")) == "😀 \ufffd"


@pytest.mark.parametrize("text", ["<|endoftext|>", "a <|ja|> b", "<|startofprev|>", "<|0.02|>", "<|30.00|>"])
def test_text_that_spells_a_control_token_is_text(text: str, ours: dict[int, Tokenizer]) -> None:
    for tokenizer in ours.values():
        tokens = tokenizer.encode(text)
        assert max(tokens) < tokenizer.special.eot
        assert tokenizer.decode(tokens) == text


def test_control_tokens_are_not_decoded_and_timestamps_can_be(base: Tokenizer) -> None:
    tokens = [50258, 50259, 50359, 50364, *base.encode(" And so"), 50418, 50257]
    assert base.decode(tokens) == " And so"
    assert base.decode_with_timestamps(tokens) == (
        "<|startoftranscript|><|en|><|transcribe|><|0.00|> And so<|1.08|><|endoftext|>"
    )


def test_a_space_is_one_token(ours: dict[int, Tokenizer]) -> None:
    for tokenizer in ours.values():
        assert tokenizer.blank_tokens == (220,) == (tokenizer.special.blank,)


# --- control --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_vocab", [ENGLISH, MULTILINGUAL, LARGE_V3])
def test_special_tokens_lie_where_openais_do(
    n_vocab: int, ours: dict[int, Tokenizer], theirs: Callable[..., Any]
) -> None:
    special, reference = ours[n_vocab].special, theirs(n_vocab)
    for name in (
        "eot",
        "sot",
        "translate",
        "transcribe",
        "sot_lm",
        "sot_prev",
        "no_speech",
        "no_timestamps",
        "timestamp_begin",
    ):
        assert getattr(special, name) == getattr(reference, name), name
    for code in ours[n_vocab].languages:
        assert ours[n_vocab].to_language_token(code) == reference.to_language_token(code)


def test_languages_have_tokens_both_ways(ours: dict[int, Tokenizer]) -> None:
    assert ours[MULTILINGUAL].to_language_token("ja") == 50266
    assert ours[MULTILINGUAL].to_language_code(50266) == "ja"
    assert ours[LARGE_V3].to_language_token("yue") == 50358
    assert (len(ours[MULTILINGUAL].languages), len(ours[LARGE_V3].languages)) == (99, 100)
    with pytest.raises(InvalidOption, match="yue"):
        ours[MULTILINGUAL].to_language_token("yue")
    for token in (50258, 50358, 0):
        with pytest.raises(InvalidOption, match="50259 to 50357"):
            ours[MULTILINGUAL].to_language_code(token)


@pytest.mark.parametrize("n_vocab", [ENGLISH, MULTILINGUAL, LARGE_V3])
@pytest.mark.parametrize("task", ["transcribe", "translate"])
def test_a_window_begins_as_openais(
    n_vocab: int, task: str, ours: dict[int, Tokenizer], theirs: Callable[..., Any]
) -> None:
    reference = theirs(n_vocab, "en", task)
    assert ours[n_vocab].sot_sequence("en", task, timestamps=True) == reference.sot_sequence
    assert ours[n_vocab].sot_sequence("en", task, timestamps=False) == (reference.sot_sequence_including_notimestamps)


def test_a_window_begins_with_start_language_and_task(ours: dict[int, Tokenizer]) -> None:
    base = ours[MULTILINGUAL]
    assert base.sot_sequence("ja", "translate", timestamps=False) == (50258, 50266, 50358, 50363)
    assert ours[LARGE_V3].sot_sequence("yue", "transcribe", timestamps=True) == (50258, 50358, 50360)
    assert ours[ENGLISH].sot_sequence(None, "transcribe", timestamps=True) == (50257,)
    assert ours[ENGLISH].sot_sequence("en", "transcribe", timestamps=False) == (50257, 50362)


@pytest.mark.parametrize(
    ("n_vocab", "language", "task", "field"),
    [
        (MULTILINGUAL, None, "transcribe", "language"),
        (MULTILINGUAL, "yue", "transcribe", "language"),
        (MULTILINGUAL, "en", "summarise", "task"),
        (ENGLISH, "fr", "transcribe", "language"),
        (ENGLISH, None, "", "task"),
    ],
)
def test_a_window_that_cannot_begin_is_refused(
    n_vocab: int, language: str | None, task: str, field: str, ours: dict[int, Tokenizer]
) -> None:
    with pytest.raises(InvalidOption) as caught:
        ours[n_vocab].sot_sequence(language, task, timestamps=True)
    assert caught.value.field == field


# --- suppression ----------------------------------------------------------------------------------


@pytest.mark.parametrize("n_vocab", [ENGLISH, MULTILINGUAL, LARGE_V3])
def test_non_speech_tokens_are_openais(n_vocab: int, ours: dict[int, Tokenizer], theirs: Callable[..., Any]) -> None:
    found = ours[n_vocab].non_speech_tokens
    assert found == theirs(n_vocab).non_speech_tokens
    assert len(found) == {ENGLISH: 84, MULTILINGUAL: 82, LARGE_V3: 82}[n_vocab]


@pytest.mark.parametrize("n_vocab", [ENGLISH, MULTILINGUAL, LARGE_V3])
def test_the_suppressed_tokens_are_openais(
    n_vocab: int, ours: dict[int, Tokenizer], theirs: Callable[..., Any]
) -> None:
    reference = theirs(n_vocab)
    control = {
        reference.transcribe,
        reference.translate,
        reference.sot,
        reference.sot_prev,
        reference.sot_lm,
        reference.no_speech,
    }
    tokenizer = ours[n_vocab]
    signs = {*reference.non_speech_tokens, *control}
    assert (
        tokenizer.get_suppress_tokens()
        == tokenizer.get_suppress_tokens("-1")
        == tokenizer.get_suppress_tokens([-1])
        == (tuple(sorted(signs)))
    )
    assert (
        tokenizer.get_suppress_tokens("-1,13") == tokenizer.get_suppress_tokens((13, -1)) == tuple(sorted({13, *signs}))
    )
    assert (
        tokenizer.get_suppress_tokens("")
        == tokenizer.get_suppress_tokens([])
        == tokenizer.get_suppress_tokens(None)
        == (tuple(sorted(control)))
    )
    assert (
        tokenizer.get_suppress_tokens("9, 7")
        == tokenizer.get_suppress_tokens([7, 9, 9])
        == tuple(sorted({7, 9, *control}))
    )


@pytest.mark.parametrize("suppress", ["all", "1,,2", [-2], [MULTILINGUAL], "1.5"])
def test_a_token_that_cannot_be_suppressed_is_refused(suppress: str | list[int], base: Tokenizer) -> None:
    with pytest.raises(InvalidOption, match="0 to 51864"):
        base.get_suppress_tokens(suppress)


# --- words ----------------------------------------------------------------------------------------


def test_words_begin_at_spaces_and_punctuation_stands_alone(base: Tokenizer) -> None:
    words, groups = base.split_to_word_tokens(base.encode(" Hello, incomprehensible world!"), "en")
    assert words == [" Hello", ",", " incomprehensible", " world", "!"]
    assert [base.decode(group) for group in groups] == words


def test_words_are_characters_where_no_spaces_are_written(base: Tokenizer) -> None:
    tokens = base.encode("私は鰯を見た")
    words, groups = base.split_to_word_tokens(tokens, "ja")
    assert "".join(words) == "私は鰯を見た"
    assert "鰯" in words  # three tokens, none of which is a character
    assert list(itertools.chain(*groups)) == tokens


def test_a_control_token_is_a_word(base: Tokenizer) -> None:
    tokens = [50364, *base.encode(" a"), 50418, 50257]
    assert base.split_to_word_tokens(tokens, "en")[0] == ["<|0.00|>", " a", "<|1.08|>", "<|endoftext|>"]


@pytest.mark.parametrize("language", ["en", "ja"])
def test_words_of_any_text_are_openais(language: str, base: Tokenizer, theirs: Callable[..., Any]) -> None:
    reference = theirs(MULTILINGUAL, language)

    @given(TEXTS)
    def law(text: str) -> None:
        tokens = [*base.encode(text), 50257]
        assert base.split_to_word_tokens(tokens, language) == reference.split_to_word_tokens(tokens)

    law()


@pytest.mark.parametrize("language", ["en", "ja", None])
def test_no_token_is_lost_between_words_even_where_the_bytes_are_broken(language: str | None, base: Tokenizer) -> None:
    @given(st.lists(st.integers(0, 255) | st.integers(0, MULTILINGUAL - 1), max_size=20))
    def law(tokens: list[int]) -> None:
        words, groups = base.split_to_word_tokens(tokens, language)
        assert list(itertools.chain(*groups)) == tokens
        assert len(words) == len(groups)

    law()


# --- files ----------------------------------------------------------------------------------------


def test_a_file_may_lack_the_timestamps_and_write_merges_as_strings(
    files: dict[int, Path], tmp_path: Path, base: Tokenizer
) -> None:
    stored = json.loads(files[MULTILINGUAL].read_text(encoding="utf-8"))
    stored["added_tokens"] = [t for t in stored["added_tokens"] if t["id"] < 50364]
    stored["model"]["merges"] = [" ".join(pair) for pair in stored["model"]["merges"]]
    (tmp_path / "tokenizer.json").write_text(json.dumps(stored))
    found = Tokenizer.from_file(tmp_path / "tokenizer.json", MULTILINGUAL)
    assert found.encode("私は 12 <|0.00|>") == base.encode("私は 12 <|0.00|>")
    assert found.decode_with_timestamps([50418]) == "<|1.08|>"


@pytest.mark.parametrize(
    ("stored_as", "read_as"), [(MULTILINGUAL, LARGE_V3), (LARGE_V3, MULTILINGUAL), (MULTILINGUAL, ENGLISH)]
)
def test_a_file_for_another_vocabulary_is_refused(stored_as: int, read_as: int, files: dict[int, Path]) -> None:
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: expected"):
        Tokenizer.from_file(files[stored_as], read_as)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b'{"model": {"vocab": {}, "merges": []}, "added_tokens": []}',
        b'{"model": {"vocab": [1], "merges": []}, "added_tokens": []}',
        b'{"model": {"vocab": {"a": 0}, "merges": ["a b c"]}, "added_tokens": []}',
    ],
)
def test_a_file_that_is_no_tokenizer_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        Tokenizer.from_file(tmp_path / "tokenizer.json", MULTILINGUAL)
    assert caught.value.file == tmp_path / "tokenizer.json"


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="FileNotFoundError"):
        Tokenizer.from_file(tmp_path / "tokenizer.json", MULTILINGUAL)


@pytest.mark.parametrize("n_vocab", [0, 51863, 51867])
def test_a_vocabulary_of_another_size_is_refused(n_vocab: int, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="51864, 51865 or 51866"):
        Tokenizer.from_file(tmp_path / "tokenizer.json", n_vocab)
    with pytest.raises(CheckpointError, match="51864, 51865 or 51866"):
        tokenizer_json_from_tiktoken(tmp_path / "gpt2.tiktoken", n_vocab)


# --- any vocabulary -------------------------------------------------------------------------------


def test_a_small_vocabulary_works_as_a_large_one() -> None:
    vocabulary = {character: byte for byte, character in BYTE_TO_UNICODE.items()} | {"ab": 256, "Ġab": 257}
    special = SpecialTokens.from_layout(eot=258, n_languages=2, blank=0x20, is_multilingual=True)
    tokenizer = Tokenizer(vocabulary, [("a", "b"), ("Ġ", "ab")], special)
    assert tokenizer.encode("ab ab é") == [256, 257, 0x20, 0xC3, 0xA9]
    assert tokenizer.decode([256, 257, 0x20, 0xC3, 0xA9, 258]) == "ab ab é"
    assert tokenizer.decode([0xC3]) == "\ufffd"
    assert tokenizer.languages == ("en", "zh")
    assert tokenizer.sot_sequence("zh", "translate", timestamps=True) == (259, 261, 262)
    assert tokenizer.decode_with_timestamps([special.timestamp_begin + 1, 256]) == "<|0.02|>ab"


def test_every_byte_has_one_visible_character() -> None:
    assert sorted(BYTE_TO_UNICODE) == list(range(256))
    assert len(set(BYTE_TO_UNICODE.values())) == 256
    assert (BYTE_TO_UNICODE[0x20], BYTE_TO_UNICODE[0x0A], BYTE_TO_UNICODE[0x41]) == ("Ġ", "Ċ", "A")


def test_a_models_own_list_of_suppressed_tokens_is_the_default(files: dict[int, Path], tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(files[51865].read_bytes())
    (tmp_path / "generation_config.json").write_text('{"suppress_tokens": [93, 7, 50258]}')
    tokenizer = Tokenizer.from_file(tmp_path / "tokenizer.json", 51865)
    assert tokenizer.default_suppress_tokens == (7, 93)  # text tokens; control tokens are always suppressed
    special = tokenizer.special
    assert set(tokenizer.get_suppress_tokens("-1")) >= {7, 93, special.sot, special.no_speech}
    assert 1 not in tokenizer.get_suppress_tokens("-1")
    assert 1 in tokenizer.get_suppress_tokens("-1,1")


@pytest.mark.parametrize("content", ['{"suppress_tokens": null}', "{}"])
def test_generation_settings_without_a_list_leave_openais_default(
    content: str, files: dict[int, Path], tmp_path: Path
) -> None:
    (tmp_path / "tokenizer.json").write_bytes(files[51865].read_bytes())
    (tmp_path / "generation_config.json").write_text(content)
    tokenizer = Tokenizer.from_file(tmp_path / "tokenizer.json", 51865)
    assert tokenizer.default_suppress_tokens == tokenizer.non_speech_tokens


@pytest.mark.parametrize("content", ["", "[]", '{"suppress_tokens": "all"}'])
def test_damaged_generation_settings_are_refused_by_file(content: str, files: dict[int, Path], tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(files[51865].read_bytes())
    (tmp_path / "generation_config.json").write_text(content)
    with pytest.raises(CheckpointError) as refused:
        Tokenizer.from_file(tmp_path / "tokenizer.json", 51865)
    assert refused.value.file == tmp_path / "generation_config.json"
