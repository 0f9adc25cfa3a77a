"""Which sources decide a compiled graph, and a hash of them that comments, docstrings and layout do not change."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PACKAGE_DIRECTORY = Path(__file__).parents[1]
# Without meaning for what the code does, or unknown to an older Python's trees.
_IGNORED_FIELDS = frozenset({"ctx", "kind", "type_comment", "type_ignores", "type_params"})
_HAS_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def graph_source_files(target: str) -> list[Path]:
    """The files whose code decides a target's graphs: a change there is another artifact, a change elsewhere is not.

    All of `graph/` and of `target/<target>/lowering/`, the target interfaces, the table of sharded parameters, the
    voice behind padding that is not computed, and for the CPU how an encoder's scales are read.
    """
    scales = [PACKAGE_DIRECTORY / "target" / "cpu" / "encoder_scales.py"] if target == "cpu" else []
    return [
        *scales,
        PACKAGE_DIRECTORY / "audio" / "synthetic_voice.py",
        *(PACKAGE_DIRECTORY / "graph").glob("*.py"),
        *(PACKAGE_DIRECTORY / "target" / target / "lowering").glob("*.py"),
        PACKAGE_DIRECTORY / "target" / "interfaces.py",
        PACKAGE_DIRECTORY / "model" / "sharding.py",
    ]


def hash_sources(paths: Iterable[Path]) -> str:
    """sha256, in hex, of the files' names and code; neither their order nor their folders matter.

    Raises SyntaxError for a file that is not Python.
    """
    entries = sorted([path.name, hash_code(path.read_text(encoding="utf-8"))] for path in paths)
    return hashlib.sha256(json.dumps(entries).encode()).hexdigest()


def hash_code(source: str) -> str:
    """sha256, in hex, of the syntax tree without docstrings: equal for sources that do the same line by line.

    The same on every supported Python. ast.dump is not: 3.12 adds fields, 3.13 leaves empty ones out.
    """
    tree = json.dumps(_canonical(ast.parse(source)), separators=(",", ":"))
    return hashlib.sha256(tree.encode()).hexdigest()


def _canonical(value: Any) -> Any:
    """A node as [type, [field, value], ...] without absent fields, a list as a list, a literal as [type, ascii]."""
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if not isinstance(value, ast.AST):
        return [type(value).__name__, ascii(value)]
    if isinstance(value, ast.Constant):
        return ["Constant", *_canonical(value.value)]
    fields = {name: field for name, field in ast.iter_fields(value) if name not in _IGNORED_FIELDS}
    if isinstance(value, _HAS_DOCSTRING) and ast.get_docstring(value, clean=False) is not None:
        fields["body"] = value.body[1:]
    if isinstance(value, ast.JoinedStr):
        fields["values"] = _without_empty_text(value.values)
    present = [[name, _canonical(field)] for name, field in fields.items() if field is not None and field != []]
    return [type(value).__name__, *present]


def _without_empty_text(parts: list[ast.expr]) -> list[ast.expr]:
    """Parts of an f-string; Pythons differ in whether an empty text between two expressions is a part."""
    return [part for part in parts if not (isinstance(part, ast.Constant) and part.value == "")]
