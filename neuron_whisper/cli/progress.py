"""Shows the progress of long work on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, Protocol

from neuron_whisper.cli.context import CliContext, write_stderr
from neuron_whisper.cli.output.tables import format_bytes

if TYPE_CHECKING:
    from rich.progress import Progress

Unit = Literal["bytes", "steps"]
PLAIN_LINES_PER_DOWNLOAD = 4  # without a terminal, bytes are printed at each quarter


class ProgressCallback(Protocol):
    def __call__(self, what: str, done: int, total: int | None) -> None: ...


@contextmanager
def show_progress(context: CliContext, unit: Unit) -> Iterator[ProgressCallback]:
    """Yields the callback that reports progress while the block runs; any thread may call it."""
    if context.quiet:
        yield lambda what, done, total: None
    elif not sys.stderr.isatty():
        yield PlainProgress(unit, write_stderr)
    else:
        with create_progress_bar(unit) as progress:
            task = progress.add_task("", total=None)

            def report(what: str, done: int, total: int | None) -> None:
                progress.update(task, description=what, completed=done, total=total)

            yield report


class PlainProgress:
    """Progress as lines of a log: each step when it begins; of a download each quarter and the end."""

    def __init__(self, unit: Unit, write: Callable[[str], None]) -> None:
        self._unit, self._write = unit, write
        self._last: tuple[str, int] | None = None

    def __call__(self, what: str, done: int, total: int | None) -> None:
        part = done * PLAIN_LINES_PER_DOWNLOAD // total if total else 0
        at = (what, part if self._unit == "bytes" else done)
        if at == self._last:
            return
        self._last = at
        if self._unit == "bytes":
            of = f" of {format_bytes(total)}" if total else ""
            self._write(f"{what}: {format_bytes(done)}{of}")
        else:
            of = f" ({done} of {total} done)" if total else ""
            self._write(f"{what}{of}")


def create_progress_bar(unit: Unit | Literal["seconds"]) -> Progress:
    """A bar on stderr that disappears when it is done. Stdout is untouched: it may be a pipe."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    amount = {
        "bytes": DownloadColumn(),
        "steps": MofNCompleteColumn(),
        "seconds": TextColumn("{task.completed:.0f} of {task.total:.0f} s of audio"),
    }[unit]
    text = TextColumn("{task.description}", markup=False)
    return Progress(
        text,
        BarColumn(),
        amount,
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
    )
