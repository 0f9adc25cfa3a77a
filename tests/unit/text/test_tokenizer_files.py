"""Files that describe tokens: what each of them holds, and what a wrong one is refused for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neuron_whisper.errors import CheckpointError
from neuron_whisper.text.tokenizer_files import AddedToken, read_json_table, read_token_files
from neuron_whisper.text.vocabulary import read_vocabulary
from tests.support.vocabularies import CONTROL, MERGES, N_VOCAB, TEXT, write_slow_tokenizer, write_tokenizer_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
NAMES = ("tokenizer.json", "vocab.json", "added_tokens.json", "tokenizer_config.json", "special_tokens_map.json")
DEEP = b"[" * 100_000


def test_a_directory_without_files_of_tokens_has_none(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").touch()  # without its merges
    assert read_token_files(tmp_path) is None


def test_merges_skip_the_version_and_blank_lines_and_a_byte_order_mark(tmp_path: Path) -> None:
    write_slow_tokenizer(tmp_path)
    (tmp_path / "merges.txt").write_bytes(b"\xef\xbb\xbf#version: 0.2\r\na b\r\n\r\n# a\r\n")
    files = read_token_files(tmp_path)
    assert files is not None
    assert files.merges == [("a", "b"), ("#", "a")]  # "#" may be merged: only the first line is a comment


def test_flags_of_added_tokens_come_from_the_tokenizers_config(tmp_path: Path) -> None:
    write_slow_tokenizer(tmp_path, {"<|x|>": 400, "yy": 401})
    decoder = {"401": {"content": "yy", "special": True, "lstrip": True}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": decoder}))
    files = read_token_files(tmp_path)
    assert files is not None
    assert files.added == (
        AddedToken(id=401, content="yy", is_special=True, strips_left=True),
        AddedToken(id=400, content="<|x|>", is_special=True),
    )


def test_a_tokenizer_json_goes_before_added_tokens_of_the_same_name_or_id(tmp_path: Path) -> None:
    write_tokenizer_json(tmp_path)
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<|en|>": 5000, "z": 0, "new": 6000}))
    files = read_token_files(tmp_path)
    assert files is not None
    assert (files.ids["<|en|>"], files.ids["new"]) == (CONTROL["<|en|>"], 6000)
    assert "z" not in {token.content for token in files.added}
    assert list(files.vocabulary) == list(TEXT)
    assert len(files.merges) == len(MERGES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("content", [b"", b"\xff", b"{", b"[1]", b"[]", DEEP, b'{"a": [' * 9999, b"1" * 5000])
def test_a_damaged_file_of_tokens_is_refused_by_file(name: str, content: bytes, tmp_path: Path) -> None:
    write_slow_tokenizer(tmp_path, {"uh": 9000})
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError) as refused:
        read_token_files(tmp_path)
    assert refused.value.file == tmp_path / name
    assert len(str(refused.value)) < 1000


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(NAMES), value=JSON)
def test_any_json_is_a_vocabulary_or_a_checkpoint_error(
    name: str, value: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = write_slow_tokenizer(tmp_path_factory.mktemp("any"), {"uh": 9000})
    (directory / name).write_text(json.dumps(value))
    try:
        vocabulary = read_vocabulary(directory, n_rows=N_VOCAB, n_mels=80)
    except CheckpointError:
        return
    assert len(vocabulary.rows) <= N_VOCAB


def test_a_table_of_settings_is_empty_without_its_file_and_an_object_with_it(tmp_path: Path) -> None:
    assert read_json_table(tmp_path / "a.json") == {}
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(CheckpointError):
        read_json_table(tmp_path / "a.json")
