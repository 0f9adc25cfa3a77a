"""The stages of a demo: how long each took, what it found, and the error that ended one."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import rich_click as click

State = Literal["not reached", "running", "ok", "failed"]


@dataclass(slots=True, kw_only=True)
class Stage:
    """`found` is a line for the user; `error` and `error_kind` are those of the exception that ended the stage.

    `log` is what the exception carries as notes: the end of a server's log.
    """

    name: str
    state: State = "not reached"
    seconds: float | None = None
    found: str = ""
    error: str = ""
    error_kind: str = ""
    log: str = ""


class StageLog:
    """Stages by name, in order, and the warnings that were logged meanwhile."""

    def __init__(self, names: Sequence[str]) -> None:
        self.stages = {name: Stage(name=name) for name in names}
        self.warnings: list[str] = []

    @contextmanager
    def run(self, name: str) -> Iterator[Stage]:
        """Time a stage. What the block raises is noted, and goes on."""
        stage = self.stages[name]
        stage.state, started = "running", time.perf_counter()
        try:
            yield stage
        except BaseException as error:
            stage.state, stage.error_kind = "failed", type(error).__name__
            stage.error = error.format_message() if isinstance(error, click.ClickException) else str(error)
            stage.log = "\n".join(getattr(error, "__notes__", ())).strip()
            raise
        else:
            stage.state = "ok"
        finally:
            stage.seconds = time.perf_counter() - started

    @property
    def failed(self) -> Stage | None:
        return next((stage for stage in self.stages.values() if stage.state == "failed"), None)

    def warn(self, text: str) -> None:
        """Keep a warning, once."""
        if text not in self.warnings:
            self.warnings.append(text)

    @contextmanager
    def collect_warnings(self, logger: str) -> Iterator[None]:
        """Keep what this logger's modules log as warnings or errors while the block runs."""
        handler = _Collector(self)
        logging.getLogger(logger).addHandler(handler)
        try:
            yield
        finally:
            logging.getLogger(logger).removeHandler(handler)


class _Collector(logging.Handler):
    def __init__(self, stages: StageLog) -> None:
        super().__init__(logging.WARNING)
        self._stages = stages

    def emit(self, record: logging.LogRecord) -> None:
        self._stages.warn(record.getMessage())
