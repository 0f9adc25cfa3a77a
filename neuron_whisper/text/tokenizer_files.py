"""Files that describe a checkpoint's tokens: tokenizer.json, or vocab.json, merges.txt and additions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuron_whisper.errors import CheckpointError
from neuron_whisper.host.json_files import JSON_LIMIT_BYTES, read_json_file

# What a hostile or damaged JSON file lets through from json.loads and from the code that walks its values.
FILE_ERRORS = (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, MemoryError)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedToken:
    """A token beside the byte-level vocabulary, matched as it is written. `is_special`: no part of the text."""

    id: int
    content: str
    is_special: bool
    strips_left: bool = False
    strips_right: bool = False
    is_single_word: bool = False

    @classmethod
    def from_data(cls, token: int, entry: Mapping[str, Any]) -> AddedToken:
        """From an entry of Hugging Face's added_tokens, or of added_tokens_decoder."""
        return cls(
            id=token,
            content=str(entry["content"]),
            is_special=bool(entry.get("special", False)),
            strips_left=bool(entry.get("lstrip", False)),
            strips_right=bool(entry.get("rstrip", False)),
            is_single_word=bool(entry.get("single_word", False)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFiles:
    """Tokens as the files have them, by GPT-2's spelling; ids are rows of the checkpoint's embedding, unchecked.

    `file` is the one that errors name. `vocabulary` is empty where a file lists names without merges (CTranslate2).
    """

    file: Path
    vocabulary: Mapping[str, int]
    merges: Sequence[tuple[str, str]]
    added: tuple[AddedToken, ...]

    @property
    def ids(self) -> dict[str, int]:
        """Name -> id, of all tokens."""
        return {**self.vocabulary, **{token.content: token.id for token in self.added}}


def read_token_files(directory: Path) -> TokenFiles | None:
    """The tokens of a checkpoint's directory; None where no file describes them. Raises CheckpointError."""
    if (directory / "tokenizer.json").is_file():
        return _join_added_tokens(read_tokenizer_json(directory / "tokenizer.json"), _read_added_tokens(directory))
    if (directory / "vocab.json").is_file() and (directory / "merges.txt").is_file():
        return _read_slow_tokenizer(directory)
    return _read_vocabulary_list(directory)


def read_tokenizer_json(path: Path) -> TokenFiles:
    """A tokenizer.json of byte-level BPE. Raises CheckpointError."""
    try:
        stored = read_json_file(path)
        vocabulary = _to_vocabulary(stored["model"]["vocab"])
        # before tokenizers 0.20 a merge was written as one string
        pairs = (m.split(" ") if isinstance(m, str) else m for m in stored["model"]["merges"])
        merges = [(str(left), str(right)) for left, right in pairs]
        added = tuple(AddedToken.from_data(_to_id(it["id"]), it) for it in stored["added_tokens"])
    except FILE_ERRORS as error:
        raise CheckpointError(
            path, "", expected="a tokenizer.json with vocabulary and merges", found=f"{error!r}"[:200]
        ) from error
    return TokenFiles(file=path, vocabulary=vocabulary, merges=merges, added=added)


def read_json_table(path: Path) -> dict[str, Any]:
    """A JSON object of a file; empty where there is no such file. Raises CheckpointError."""
    if not path.is_file():
        return {}
    try:
        found = read_json_file(path)
    except FILE_ERRORS as error:
        raise CheckpointError(path, "", expected="readable JSON", found=f"{error!r}"[:200]) from error
    if not isinstance(found, dict):
        raise CheckpointError(path, "", expected="a JSON object", found=type(found).__name__)
    return found


def format_tokenizer_json(
    vocabulary: Mapping[str, int], merges: Iterable[tuple[str, str]], added: Iterable[AddedToken]
) -> str:
    """The text of a tokenizer.json for the tokenizers library. The same at every run."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    whole = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": token.id,
                "content": token.content,
                "single_word": token.is_single_word,
                "lstrip": token.strips_left,
                "rstrip": token.strips_right,
                "normalized": False,
                "special": token.is_special,
            }
            for token in added
        ],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": dict(vocabulary),
            "merges": [list(pair) for pair in merges],
        },
    }
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":"))


def _read_text(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(JSON_LIMIT_BYTES + 1)
    if len(content) > JSON_LIMIT_BYTES:
        raise ValueError(f"more than {JSON_LIMIT_BYTES} bytes")
    return content.decode("utf-8-sig")


def _to_id(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"a token's id is a whole number from 0, not {value!r}")
    return value


def _to_vocabulary(table: Mapping[str, object]) -> dict[str, int]:
    return {spelling: _to_id(token) for spelling, token in table.items()}


def _read_slow_tokenizer(directory: Path) -> TokenFiles:
    """vocab.json and merges.txt; control and added tokens where the other files have them."""
    path = directory / "vocab.json"
    try:
        vocabulary = _to_vocabulary(read_json_file(path))
        path = directory / "merges.txt"
        lines = _read_text(path).split("\n")
        pairs = (line.rstrip("\r").split(" ") for line in lines if line.strip() and not line.startswith("#version"))
        merges = [(left, right) for left, right in pairs]
    except FILE_ERRORS as error:
        raise CheckpointError(
            path, "", expected="the vocabulary and merges of a Whisper tokenizer", found=f"{error!r}"[:200]
        ) from error
    files = TokenFiles(file=directory / "vocab.json", vocabulary=vocabulary, merges=merges, added=())
    return _join_added_tokens(files, _read_added_tokens(directory))


def _read_added_tokens(directory: Path) -> list[AddedToken]:
    """Of tokenizer_config.json's added_tokens_decoder and of added_tokens.json; the first has the flags."""
    config = read_json_table(directory / "tokenizer_config.json")
    names = read_json_table(directory / "special_tokens_map.json").get("additional_special_tokens")
    special = {str(name) for name in names} if isinstance(names, list) else set()
    path = directory / "tokenizer_config.json"
    try:
        decoder = config.get("added_tokens_decoder") or {}
        found = [AddedToken.from_data(_to_id(int(token)), entry) for token, entry in decoder.items()]
        path = directory / "added_tokens.json"
        known = {token.content for token in found}
        for name, token in read_json_table(path).items():
            if name not in known:
                is_special = name in special or (name.startswith("<|") and name.endswith("|>"))
                found.append(AddedToken(id=_to_id(token), content=name, is_special=is_special))
    except FILE_ERRORS as error:
        raise CheckpointError(path, "", expected="added tokens and their ids", found=f"{error!r}"[:200]) from error
    return found


def _join_added_tokens(files: TokenFiles, added: Iterable[AddedToken]) -> TokenFiles:
    """The tokens with those of `added` that have neither a name nor an id there already, as transformers does."""
    ids = files.ids
    taken = set(ids.values())
    more = [token for token in added if token.content not in ids and token.id not in taken]
    return TokenFiles(file=files.file, vocabulary=files.vocabulary, merges=files.merges, added=(*files.added, *more))


def _read_vocabulary_list(directory: Path) -> TokenFiles | None:
    """The names in CTranslate2's vocabulary.json or vocabulary.txt, one a row; None without either."""
    for path in (directory / "vocabulary.json", directory / "vocabulary.txt"):
        if not path.is_file():
            continue
        try:
            if path.suffix == ".json":
                names = [str(name) for name in read_json_file(path)]
            else:
                names = _read_text(path).split("\n")
        except FILE_ERRORS as error:
            raise CheckpointError(path, "", expected="a list of tokens", found=f"{error!r}"[:200]) from error
        control = (
            AddedToken(id=token, content=name, is_special=True)
            for token, name in enumerate(names)
            if name.startswith("<|") and name.endswith("|>")
        )
        return TokenFiles(file=path, vocabulary={}, merges=(), added=tuple(control))
    return None
