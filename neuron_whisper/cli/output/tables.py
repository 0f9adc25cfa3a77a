"""Lays out results on stdout: tables, records and JSON."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import rich_click as click

from neuron_whisper.cli.output.streams import escape_json


def echo_json(value: object) -> None:
    """Print one indented JSON document."""
    click.echo(escape_json(json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False), sys.stdout))


def echo_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table: drawn by rich on a terminal, elsewhere aligned columns, two spaces apart, nothing cut off."""
    cells = [[str(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for column, header in enumerate(headers):
            # the first names the row: it is there to be copied, and is not broken
            table.add_column(header, no_wrap=column == 0, overflow="fold")
        for row in cells:
            table.add_row(*(Text(cell) for cell in row))  # Text: a bracket in a name is no markup
        Console().print(table)
        return
    lines = [list(headers), *cells]
    widths = [max(_display_width(line[column]) for line in lines) for column in range(len(headers))]
    for line in lines:
        padded = (cell + " " * (width - _display_width(cell)) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def echo_record(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one pair a line, the values aligned."""
    pairs = [(name, str(value)) for name, value in pairs]
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        click.echo(f"{name:<{width}}  {value}".rstrip())


def format_program(spec: Mapping[str, Any]) -> str:
    """A program's sizes (ProgramSpec as builtins) on one line."""
    contexts = spec.get("audio_contexts") or ()
    return (
        f"slots {spec['slots']}, beams {spec['beams']}, encode batch {spec['encode_batch']}, "
        f"prompt buckets {', '.join(map(str, spec['prompt_buckets']))}, text context {spec['text_context']}"
        + (f", audio contexts {', '.join(map(str, contexts))}" if contexts else "")
        + (", padding skipped" if spec.get("skip_padding") else "")
    )


def format_bytes(size_bytes: int) -> str:
    """999 -> "999 B", 145_217_607 -> "145.2 MB": decimal, as disks are sold."""
    if size_bytes < 1000:
        return f"{size_bytes} B"
    value, units = float(size_bytes), ["kB", "MB", "GB", "TB"]
    for unit in units:
        value /= 1000
        if value < 999.95 or unit == units[-1]:
            break
    return f"{value:.1f} {unit}"


def _display_width(text: str) -> int:
    """Columns on a terminal: a Japanese character takes two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
