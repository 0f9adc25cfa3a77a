"""Formats Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

DASH = "–"  # a cell without a value


def format_table(head: Sequence[str], rows: Iterable[Sequence[object]], *, left: int = 1) -> str:
    """A table without a final newline; its first `left` columns are aligned left, the others right.

    ["a", "b"], [["x", 1]] -> "| a | b |\\n| --- | ---: |\\n| x | 1 |"
    """
    lines = [head, [*["---"] * left, *["---:"] * (len(head) - left)], *rows]
    return "\n".join("| " + " | ".join(escape_cell(cell) for cell in line) + " |" for line in lines)


def escape_cell(value: object) -> str:
    """The value on one line: a bar would end the cell, a line break the row."""
    return " ".join(str(value).split()).replace("|", "\\|")
