"""`python -m benchmarks.page`: puts the tables of measured reports into docs/benchmarks.md; `make bench-page` calls it.

A table lies between `<!-- NAME: begin -->` and `<!-- NAME: end -->`; what lies there is replaced. Exit code 0: the
tables of the reports that are there are on the page; which ones, and what makes the others, is said. 2: there is no
report, or one is no report; the page is as it was.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.goals import markdown as goals
from benchmarks.goals.parity import format_verdicts, judge_texts
from benchmarks.goals.report import read_report
from benchmarks.process.machine_load import read_load
from neuron_whisper import __version__
from neuron_whisper.bench.accuracy.markdown import format_summary
from neuron_whisper.bench.accuracy.run_facts import describe_machine
from neuron_whisper.errors import InvalidOption, NeuronWhisperError

PAGE, BUILD = Path("docs/benchmarks.md"), Path("build")
PAGE_WIDTH = 118  # characters of a line of prose


def format_parity(document: Mapping[str, Any]) -> str:
    """The tables of `make parity`: command, systems, languages, and the goals of the default profile."""
    verdicts = format_verdicts(judge_texts(document))
    return _format_origin(document) + "\n" + _lower_headings(format_summary(document) + "\n" + verdicts)


def format_accuracy(document: Mapping[str, Any]) -> str:
    return _format_origin(document) + "\n" + _lower_headings(format_summary(document))


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of the page: `command` makes its report, `file` below build/; `format_json` None: it is Markdown."""

    command: str
    file: str
    format_json: Callable[[Mapping[str, Any]], str] | None = None

    def format_report(self, path: Path) -> str:
        """Raises InvalidOption where the file is no report."""
        if self.format_json is not None:
            return self.format_json(read_report(path))
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidOption("REPORT", str(path), f"a file of Markdown ({error})") from None
        if "\n|" not in text:
            raise InvalidOption("REPORT", str(path), f"a table in Markdown, as {self.command} prints it")
        return _lower_headings(text)


def _checks(name: str) -> Table:
    return Table(command=f"make bench-checks CHECK={name}", file=f"checks-{name}.md")


TABLES: Mapping[str, Table] = {
    "goals": Table(command="make bench-peers", file="goals.json", format_json=goals.format_markdown),
    "parity": Table(command="make parity", file="parity.json", format_json=format_parity),
    "accuracy": Table(command="make bench-accuracy", file="accuracy.json", format_json=format_accuracy),
    "words": _checks("words"),
    "hallucination": _checks("hallucination"),
    "timeline": _checks("timeline"),
    "use": Table(command="make bench-profile", file="use.md"),
    "compile": Table(command="make bench-compile", file="compile.md"),
    "load": Table(command="make bench-load", file="load/load.md"),
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


def format_origin_line(command: str) -> str:
    """Date, machine, load and versions, for a command that prints a table without them."""
    machine = describe_machine()
    return (
        f"{datetime.now(UTC):%Y-%m-%d}; {machine['processor']}, {machine['cores']} cores, "
        f"{' '.join(machine['instruction_sets'])}; load {read_load():.2f} before it began; `{command}`; "
        f"neuron-whisper {__version__}, openvino {version('openvino')}.\n"
    )


def fill_page(page: Path, reports: Mapping[str, Path]) -> None:
    """Replace the tables of these reports, all or none. Raises InvalidOption."""
    text = page.read_text(encoding="utf-8")
    for name, report in reports.items():
        text = replace_table(text, name, TABLES[name].format_report(report))
    page.write_text(text, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("reports", nargs="*", metavar="NAME=FILE", help=f"NAME is one of {', '.join(TABLES)}")
    parser.add_argument("--build", type=Path, default=BUILD, help=f"where other reports are looked for  [{BUILD}]")
    parser.add_argument("--page", type=Path, default=PAGE, help=f"[default: {PAGE}]")
    parser.add_argument("--origin", metavar="COMMAND", help="print date, machine and versions for its table instead")
    args = parser.parse_args(arguments)
    if args.origin:
        sys.stdout.write(format_origin_line(args.origin) + "\n")
        return 0
    reports = {name: path for name, table in TABLES.items() if (path := args.build / table.file).is_file()}
    try:
        for given in args.reports:
            name, _, file = given.partition("=")
            if name not in TABLES or not file:
                raise InvalidOption("REPORT", given, f"NAME=FILE with one of {', '.join(TABLES)}")
            reports[name] = Path(file)
        if not reports:
            raise InvalidOption(
                "REPORT", str(args.build), "a folder with reports, which make bench-peers and others make"
            )
        fill_page(args.page, reports)
    except NeuronWhisperError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    for name, table in TABLES.items():
        done = f"from {reports[name]}" if name in reports else f"left as it is; {table.command} makes its report"
        sys.stderr.write(f"{name}: {done}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
