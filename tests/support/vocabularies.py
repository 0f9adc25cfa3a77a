"""Small vocabularies as trainers save them: 256 bytes and two merges, control tokens, and what was added."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from neuron_whisper.text.special_tokens import SpecialTokens, special_token_names
from neuron_whisper.text.tokenizer import BYTE_TO_UNICODE

TEXT = {character: byte for byte, character in BYTE_TO_UNICODE.items()} | {"ab": 256, "Ġab": 257}
MERGES = [["a", "b"], ["Ġ", "ab"]]
LAYOUT = SpecialTokens.from_layout(eot=len(TEXT), n_languages=3, blank=0x20, is_multilingual=True)
CONTROL = {name: LAYOUT.eot + place for place, name in enumerate(special_token_names(LAYOUT))}
N_VOCAB = LAYOUT.n_vocab


def to_entry(content: str, token: int, **flags: bool) -> dict[str, Any]:
    return {"id": token, "content": content, "special": token < LAYOUT.timestamp_begin and token >= LAYOUT.eot} | flags


def write_tokenizer_json(directory: Path, added: dict[str, int] | None = None, **flags: bool) -> Path:
    """A tokenizer.json with these `added` tokens, all control tokens unless they are given."""
    directory.mkdir(parents=True, exist_ok=True)
    entries = [to_entry(name, token) for name, token in CONTROL.items() if token < LAYOUT.timestamp_begin]
    entries += [to_entry(content, token, **flags) for content, token in (added or {}).items()]
    content = {"model": {"vocab": TEXT, "merges": MERGES}, "added_tokens": entries}
    (directory / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    return directory


def write_slow_tokenizer(directory: Path, added: dict[str, int] | None = None) -> Path:
    """vocab.json and merges.txt; added_tokens.json where there are any."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "vocab.json").write_text(json.dumps(TEXT), encoding="utf-8")
    merges = "\n".join(["#version: 0.2", *(" ".join(pair) for pair in MERGES), ""])
    (directory / "merges.txt").write_text(merges, encoding="utf-8")
    if added is not None:
        (directory / "added_tokens.json").write_text(json.dumps(added), encoding="utf-8")
    return directory


def write_generation_config(directory: Path, **settings: object) -> Path:
    (directory / "generation_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return directory
