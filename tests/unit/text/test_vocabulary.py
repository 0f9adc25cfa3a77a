"""Vocabularies of fine-tuned checkpoints: where every token is, by the names in the files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from neuron_whisper.errors import CheckpointError
from neuron_whisper.text.special_tokens import SpecialTokens
from neuron_whisper.text.tokenizer import Tokenizer
from neuron_whisper.text.vocabulary import Vocabulary, read_vocabulary
from tests.support.vocabularies import (
    CONTROL,
    LAYOUT,
    N_VOCAB,
    TEXT,
    write_generation_config,
    write_slow_tokenizer,
    write_tokenizer_json,
)

LAST = N_VOCAB - 1  # <|30.00|>


def read(directory: Path, n_rows: int = N_VOCAB, n_mels: int = 80) -> Vocabulary:
    return read_vocabulary(directory, n_rows=n_rows, n_mels=n_mels)


def make_tokenizer(vocabulary: Vocabulary, directory: Path) -> Tokenizer:
    """As an artifact has it."""
    text = vocabulary.to_tokenizer_json()
    assert text is not None
    directory.mkdir()
    (directory / "tokenizer.json").write_text(text, encoding="utf-8")
    return Tokenizer.from_layout(directory / "tokenizer.json", vocabulary.special)


# --- padding and additions ------------------------------------------------------------------------


@pytest.mark.parametrize("padding", [0, 1, 7, 64])
def test_rows_behind_the_last_timestamp_are_padding_whatever_their_number(padding: int, tmp_path: Path) -> None:
    vocabulary = read(write_tokenizer_json(tmp_path), N_VOCAB + padding)
    assert vocabulary.rows == range(N_VOCAB)
    assert vocabulary.special == LAYOUT
    assert vocabulary.is_openai_order


@pytest.mark.parametrize(("n_vocab", "rows"), [(51865, 51866), (51865, 51904), (51864, 51865), (51866, 51904)])
def test_openais_vocabularies_are_told_by_their_languages_and_not_by_the_padded_size(
    n_vocab: int, rows: int, tmp_path: Path
) -> None:
    special = SpecialTokens.from_vocab_size(n_vocab)
    write_generation_config(
        tmp_path,
        eos_token_id=special.eot,
        no_timestamps_token_id=special.no_timestamps,
        is_multilingual=n_vocab > 51864,
    )
    assert read(tmp_path, rows).special == special


def test_tokens_added_behind_the_timestamps_are_text_before_the_end(tmp_path: Path) -> None:
    vocabulary = read(write_tokenizer_json(tmp_path, {"[laughs]": LAST + 1, "uh-huh": LAST + 2}), N_VOCAB + 2)
    special = vocabulary.special
    assert special.eot == LAYOUT.eot + 2
    assert special.n_vocab == N_VOCAB + 2 == len(vocabulary.rows)
    assert [vocabulary.rows[token] for token in (0, 258, 259, special.eot, special.sot, special.timestamp_end)] == (
        [0, LAST + 1, LAST + 2, LAYOUT.eot, LAYOUT.sot, LAST]
    )
    tokenizer = make_tokenizer(vocabulary, tmp_path / "artifact")
    assert tokenizer.encode("ab [laughs] ab") == [256, 0x20, 258, 257]
    assert tokenizer.decode([257, 258, 259, special.timestamp_begin]) == " ab[laughs]uh-huh"
    assert tokenizer.split_to_word_tokens([257, 0x20, 258], "en")[0] == [" ab", " [laughs]"]


def test_an_added_special_token_may_be_chosen_and_spells_nothing(tmp_path: Path) -> None:
    write_tokenizer_json(tmp_path, {"<|speaker|>": LAST + 1, "word": LAST + 2}, special=True)
    vocabulary = read(tmp_path, N_VOCAB + 2)
    tokenizer = make_tokenizer(vocabulary, tmp_path / "artifact")
    speaker = vocabulary.rows.index(LAST + 1)
    assert speaker < vocabulary.special.eot
    assert tokenizer.decode([256, speaker, 257]) == "ab ab"
    assert speaker not in tokenizer.encode("<|speaker|>")
    assert tokenizer.split_to_word_tokens([256, speaker, 257, speaker], "en") == (
        ["ab", " ab", ""],
        [[256], [speaker, 257], [speaker]],
    )


def test_added_tokens_without_a_row_are_left_out(tmp_path: Path) -> None:
    vocabulary = read(write_tokenizer_json(tmp_path, {"one": LAST + 1, "two": LAST + 2}), N_VOCAB + 1)
    assert [token.content for token in vocabulary.added] == ["one"]


def test_added_tokens_count_from_added_tokens_json_too(tmp_path: Path) -> None:
    write_tokenizer_json(tmp_path)
    (tmp_path / "added_tokens.json").write_text(json.dumps({"uh": LAST + 1, "<|sot|>": LAYOUT.sot}))
    assert [(token.content, token.is_special) for token in read(tmp_path, N_VOCAB + 1).added] == [("uh", False)]


def test_suppressed_tokens_keep_their_meaning_where_tokens_were_added(tmp_path: Path) -> None:
    vocabulary = read(write_tokenizer_json(tmp_path, {"[x]": LAST + 1}), N_VOCAB + 1)
    assert vocabulary.to_program_ids([7, LAST + 1, LAYOUT.sot, 10**9]) == (7, 258, LAYOUT.sot + 1)
    assert read(write_tokenizer_json(tmp_path / "plain")).to_program_ids([LAYOUT.sot, 7, 10**9]) == (7, LAYOUT.sot)


# --- files ----------------------------------------------------------------------------------------


def test_a_vocabulary_and_its_merges_are_enough_with_the_ids_of_the_generation_settings(tmp_path: Path) -> None:
    write_generation_config(write_slow_tokenizer(tmp_path), no_timestamps_token_id=LAYOUT.no_timestamps)
    vocabulary = read(tmp_path, N_VOCAB + 3)
    assert vocabulary.special == LAYOUT
    assert make_tokenizer(vocabulary, tmp_path / "artifact").encode("ab ab") == [256, 257]


@pytest.mark.parametrize("lacks", [[], ["<|endoftext|>"], ["<|endoftext|>", ""]])
@pytest.mark.parametrize(
    ("n_rows", "settings"), [(51865, {}), (51904, {"decoder_start_token_id": 50258, "no_timestamps_token_id": 50363})]
)
def test_openais_multilingual_text_may_lack_its_empty_token_and_the_end(
    lacks: list[str], n_rows: int, settings: dict[str, int], tmp_path: Path
) -> None:
    names = {f"t{token}": token for token in range(50256)} | {"": 50256, "<|endoftext|>": 50257, "Ġ": 220}
    del names["t220"]
    write_generation_config(write_slow_tokenizer(tmp_path), **settings)
    vocab = {name: token for name, token in names.items() if name not in lacks}
    (tmp_path / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
    assert read(tmp_path, n_rows).special == SpecialTokens.from_vocab_size(51865)


def test_a_vocabulary_with_the_empty_token_may_lack_the_names_of_timestamps(tmp_path: Path) -> None:
    write_tokenizer_json(tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    del content["model"]["vocab"]["!"]
    content["model"]["vocab"][""] = TEXT["!"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    assert read(tmp_path).special == LAYOUT


def test_a_slow_tokenizers_added_tokens_name_the_control_tokens(tmp_path: Path) -> None:
    vocabulary = read(write_slow_tokenizer(tmp_path, CONTROL | {"uh": LAST + 1}), N_VOCAB + 5)
    assert vocabulary.special.n_languages == 3
    assert [token.content for token in vocabulary.added] == ["uh"]


def test_the_older_name_of_no_speech_is_known(tmp_path: Path) -> None:
    control = {("<|nocaptions|>" if name == "<|nospeech|>" else name): token for name, token in CONTROL.items()}
    assert read(write_slow_tokenizer(tmp_path, control)).special == LAYOUT


def test_a_ctranslate2_list_names_the_control_tokens(tmp_path: Path) -> None:
    special = SpecialTokens.from_vocab_size(51865)
    names = [f"t{token}" for token in range(special.eot)] + ["<|endoftext|>"] + ["x"] * 106
    names[special.no_timestamps] = "<|notimestamps|>"
    (tmp_path / "vocabulary.json").write_text(json.dumps(names))
    vocabulary = read(tmp_path, 51866)  # a row of padding: not large-v3's
    assert vocabulary.special == special
    assert vocabulary.to_tokenizer_json() is None


@pytest.mark.parametrize("n_vocab", [51864, 51865, 51866])
def test_without_any_file_the_sizes_of_openais_vocabularies_are_known(n_vocab: int, tmp_path: Path) -> None:
    vocabulary = read(tmp_path, n_vocab)
    assert vocabulary.special == SpecialTokens.from_vocab_size(n_vocab)
    assert vocabulary.rows == range(n_vocab)


# --- contradictions -------------------------------------------------------------------------------


@pytest.mark.parametrize("n_rows", [51863, 51867, 51904])
def test_a_padded_vocabulary_without_names_is_refused(n_rows: int, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as refused:
        read(tmp_path, n_rows)
    assert refused.value.found == f"{n_rows} tokens"


def test_a_token_in_the_place_of_a_timestamp_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as refused:
        read(write_tokenizer_json(tmp_path, {"uh": LAYOUT.timestamp_begin}))
    assert (refused.value.expected, refused.value.found) == (f"<|0.00|> to be token {LAYOUT.timestamp_begin}", "'uh'")


def test_a_model_without_rows_for_its_timestamps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as refused:
        read(write_tokenizer_json(tmp_path), N_VOCAB - 1)
    assert refused.value.found == LAST


@pytest.mark.parametrize(
    "settings",
    [
        {"decoder_start_token_id": LAYOUT.sot + 1},
        {"no_timestamps_token_id": LAYOUT.no_timestamps - 1},
        {"lang_to_id": {"<|zh|>": LAYOUT.first_language}},
        {"task_to_id": {"translate": LAYOUT.transcribe}},
    ],
)
def test_generation_settings_of_another_vocabulary_are_refused_by_file(
    settings: dict[str, object], tmp_path: Path
) -> None:
    write_generation_config(write_tokenizer_json(tmp_path), **settings)
    with pytest.raises(CheckpointError) as refused:
        read(tmp_path)
    assert refused.value.file == tmp_path / "generation_config.json"


def test_an_end_that_trainers_set_to_their_padding_is_no_contradiction(tmp_path: Path) -> None:
    write_generation_config(write_tokenizer_json(tmp_path), eos_token_id=LAYOUT.eot + 1)
    assert read(tmp_path).special == LAYOUT


def test_large_v3_with_the_tokenizer_of_an_earlier_model_is_refused(tmp_path: Path) -> None:
    write_generation_config(tmp_path, no_timestamps_token_id=50363)
    with pytest.raises(CheckpointError) as refused:
        read(tmp_path, 51866, n_mels=128)
    assert refused.value.found == "99 languages"


def test_a_vocabulary_with_a_hole_is_refused(tmp_path: Path) -> None:
    write_slow_tokenizer(tmp_path, CONTROL)
    (tmp_path / "vocab.json").write_text(json.dumps({name: token for name, token in TEXT.items() if token != 9}))
    with pytest.raises(CheckpointError) as refused:
        read(tmp_path)
    assert (refused.value.expected, refused.value.found) == ("text tokens 0 to 257", "257 tokens")
