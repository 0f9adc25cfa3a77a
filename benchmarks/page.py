"""`python -m benchmarks.page`: puts the tables of measured reports into docs/benchmarks.md; `make bench-page` calls it.

A table lies between `<!-- NAME: begin -->` and `<!-- NAME: end -->`; what lies there is replaced.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.goals import markdown as goals
from benchmarks.goals.parity import format_verdicts, judge_texts
from neuron_whisper.bench.accuracy.markdown import format_summary
from neuron_whisper.errors import InvalidOption, NeuronWhisperError

PAGE = Path("docs/benchmarks.md")
PAGE_WIDTH = 118  # characters of a line of prose


def format_parity(document: Mapping[str, Any]) -> str:
    """The tables of `make parity`: command, systems, languages, and the goals of the default profile."""
    verdicts = format_verdicts(judge_texts(document))
    return _format_origin(document) + "\n" + _lower_headings(format_summary(document) + "\n" + verdicts)


def format_accuracy(document: Mapping[str, Any]) -> str:
    return _format_origin(document) + "\n" + _lower_headings(format_summary(document))


TABLES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "goals": goals.format_markdown,
    "parity": format_parity,
    "accuracy": format_accuracy,
}


def replace_table(page: str, name: str, table: str) -> str:
    """The page with the table between its marks. Raises InvalidOption where it has none, or several."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed or begin in after:
        raise InvalidOption("PAGE", name, f"one table between {begin.strip()} and {end}")
    return f"{before}{begin}\n{_wrap_prose(table.strip())}\n\n{end}{after}"


def _wrap_prose(text: str) -> str:
    """Lines of prose as long as the page's others; rows of tables stay."""
    wrapped: list[str] = []
    for line in text.splitlines():
        indent = "  " if line.startswith("- ") else ""
        pieces = (
            [line]
            if line.startswith(("|", "#"))
            else textwrap.wrap(
                line, PAGE_WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
            )
        )
        wrapped += pieces or [""]
    return "\n".join(wrapped)


def _format_origin(document: Mapping[str, Any]) -> str:
    machine, speech, beams = document["machine"], document["speech"], document["options"]["beam_size"]
    return (
        f"{document['date'][:10]}; {machine['processor']}, {machine['cores']} cores, "
        f"{' '.join(machine['instruction_sets'])}; {speech['clips']} clips, {speech['audio_s']:.0f} s; "
        f"{'greedy' if beams is None else f'{beams} beams'}, temperature "
        f"{', '.join(f'{it:g}' for it in document['options']['temperature'])}; "
        f"load {machine['load_before']:g} before it began.\n"
    )


def _lower_headings(text: str) -> str:
    """Headings of a table lie below the page's section."""
    return "\n".join(f"#{line}" if line.startswith("#") else line for line in text.splitlines())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("reports", nargs="+", metavar="NAME=JSON", help=f"NAME is one of {', '.join(TABLES)}")
    parser.add_argument("--page", type=Path, default=PAGE, help=f"[default: {PAGE}]")
    args = parser.parse_args(arguments)
    try:
        page = args.page.read_text(encoding="utf-8")
        for report in args.reports:
            name, _, file = report.partition("=")
            if name not in TABLES or not file:
                raise InvalidOption("REPORT", report, f"NAME=JSON with one of {', '.join(TABLES)}")
            page = replace_table(page, name, TABLES[name](json.loads(Path(file).read_text(encoding="utf-8"))))
    except NeuronWhisperError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    args.page.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
