"""Artifact keys: canonical facts, the key they hash to, and how two sets of facts differ."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from neuron_whisper.errors import InvalidOption

ABSENT = "(absent)"  # the value, in a difference, of a fact that one side does not have
KEY_DIGITS_IN_NAME = 16  # 64 bits are enough to distinguish a cache's artifacts; the manifest holds the whole key

_FactPath = tuple[str, ...]
_NAME_PATTERN = re.compile(r"(?P<label>.+)-[a-z0-9]+-tp[0-9]+-[0-9a-f]{16}")
_KEY_PREFIX_PATTERN = re.compile(r"[0-9a-f]{4,64}")


def compute_artifact_key(facts: Mapping[str, Any]) -> str:
    """sha256, in hex, of the facts as canonical JSON: sorted keys, no white space, no NaN.

    Facts are text, whole and finite numbers, booleans, None, lists and nested mappings with text keys.
    The order of a mapping's keys does not matter. Raises InvalidOption naming a fact that is none of these.
    """
    for path, value in _iter_leaves(facts):
        _check_leaf(path, value)
    text = json.dumps(_to_plain(facts), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def explain_difference(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """The facts in which a and b differ, sorted: (dotted name, in a, in b).

    {"target": {"tp": 1}}, {"target": {"tp": 2}} -> [("target.tp", 1, 2)]; a fact that a side lacks is ABSENT there.
    Empty exactly when the keys are equal: values compare as the key sees them, so 1, 1.0 and True differ.
    """
    in_a, in_b = dict(_iter_leaves(a)), dict(_iter_leaves(b))
    return [
        (".".join(path), in_a.get(path, ABSENT), in_b.get(path, ABSENT))
        for path in sorted(in_a.keys() | in_b.keys())
        if path not in in_a or path not in in_b or not _is_same(in_a[path], in_b[path])
    ]


def make_artifact_name(model: str, target: str, tp: int, key: str) -> str:
    """An artifact's directory name: "openai/whisper-base", "cpu", 1, key -> "whisper-base-cpu-tp1-0f3a...".

    Of the model only its last part counts, with anything unfit for a file's name replaced by a hyphen.
    """
    label = re.sub(r"[^A-Za-z0-9._]+", "-", model.rstrip("/").rpartition("/")[2])[:64].strip("-._")
    return f"{label or 'model'}-{target}-tp{tp}-{key[:KEY_DIGITS_IN_NAME]}"


def parse_label(name: str) -> str:
    """The model's part of an artifact's name: "base-cpu-tp1-0f3a..." -> "base"; empty for any other text."""
    match = _NAME_PATTERN.fullmatch(name)
    return match["label"] if match else ""


def match_reference(reference: str, names: Iterable[str]) -> list[str]:
    """The names that `reference` could mean: by name, else by label, else by beginning, else by key.

    "base" means "base-cpu-tp1-0f3a..." before "base.en-cpu-tp1-77c0..."; a key is given by 4 digits or more,
    of which a name shows 16.
    """
    names = list(names)
    if reference in names:
        return [reference]
    labelled = [name for name in names if reference and parse_label(name) == reference]
    begun = labelled or [name for name in names if reference and name.startswith(reference)]
    if begun or not _KEY_PREFIX_PATTERN.fullmatch(reference):
        return begun
    digits = reference[:KEY_DIGITS_IN_NAME]
    return [name for name in names if parse_label(name) and name[-KEY_DIGITS_IN_NAME:].startswith(digits)]


def _iter_leaves(facts: Mapping[str, Any], path: _FactPath = ()) -> Iterator[tuple[_FactPath, Any]]:
    for name, value in facts.items():
        if not isinstance(name, str):
            raise InvalidOption(".".join((*path, str(name))), name, "a fact's name is text")
        # an empty table is a leaf, or adding one would change the key and explain nothing
        if isinstance(value, Mapping) and value:
            yield from _iter_leaves(value, (*path, name))
        else:
            yield (*path, name), value


def _check_leaf(path: _FactPath, value: Any) -> None:
    if isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check_leaf((*path, str(index)), item)
    elif isinstance(value, Mapping):
        for inner, item in _iter_leaves(value, path):
            _check_leaf(inner, item)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidOption(".".join(path), value, "a number is finite")
    elif value is not None and not isinstance(value, str | int):
        allowed = "a fact is text, a number, a boolean, null, a list or a table"
        raise InvalidOption(".".join(path), value, allowed)


def _to_plain(value: Any) -> Any:
    """json.dumps knows dict only, not every Mapping."""
    if isinstance(value, Mapping):
        return {name: _to_plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_to_plain(inner) for inner in value]
    return value


def _is_same(a: Any, b: Any) -> bool:
    return json.dumps(_to_plain(a), sort_keys=True) == json.dumps(_to_plain(b), sort_keys=True)
