"""What every command shares: the cache directory, verbosity, and logging on stderr."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

from neuron_whisper.cli.json_formatter import JsonFormatter, JsonStderr

if TYPE_CHECKING:
    from neuron_whisper.artifact.store import ArtifactStore

T = TypeVar("T")

LOGGER = "neuron_whisper"


@dataclass(frozen=True, slots=True, kw_only=True)
class CliContext:
    """`cache` is the cache directory; `quiet` leaves only warnings and errors on stderr."""

    cache: Path
    quiet: bool = False
    verbose: bool = False

    @property
    def digests_directory(self) -> Path:
        """Directory of the remembered sha256 digests of checkpoints."""
        return self.cache / "digests"

    def store(self) -> ArtifactStore:
        """The cache's artifacts; creates nothing on disk."""
        from neuron_whisper.artifact.store import ArtifactStore

        return ArtifactStore(self.cache)

    def create_store(self) -> ArtifactStore:
        """As `store`, after creating the cache directory, which other users cannot enter whatever the umask.

        Raises ArtifactUnsafe, InvalidOption.
        """
        store = self.store()
        store.directory.create()
        return store

    def info(self, text: str) -> None:
        """Write a line about the progress to stderr; nothing when quiet."""
        if not self.quiet:
            write_stderr(text)


def write_stderr(text: str) -> None:
    """Write a line to the current sys.stderr, which a progress bar replaces so that both fit on a terminal.

    A stderr that is closed, or that nobody reads, ends no work.
    """
    if sys.stderr is not None:
        with suppress(OSError):
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()


class _StderrHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        write_stderr(self.format(record))


def set_up_logging(level: int, *, with_times: bool, as_json: bool = False) -> None:
    """Send this package's log to stderr, from `level` up; `with_times` is for logs that are kept.

    With `as_json` every line of stderr is a JSON object from then on: the warnings of other packages, uvicorn's
    among them, go through the same formatter, and so does what no logger writes.
    """
    for name in (LOGGER, None):
        logger = logging.getLogger(name)
        for handler in [handler for handler in logger.handlers if isinstance(handler, _StderrHandler)]:
            logger.removeHandler(handler)
    handler = _StderrHandler()
    lines = logging.Formatter(f"{'%(asctime)s ' * with_times}%(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if as_json else lines)
    package_logger = logging.getLogger(LOGGER)
    package_logger.addHandler(handler)
    package_logger.setLevel(level)
    package_logger.propagate = not as_json
    if as_json:
        logging.getLogger().addHandler(handler)
        logging.captureWarnings(capture=True)
        if not isinstance(sys.stderr, JsonStderr):
            sys.stderr = JsonStderr(sys.stderr)


def with_context(command: Callable[..., T]) -> Callable[..., T]:
    """Gives a command --cache, --quiet and --verbose, and calls it with the CliContext made of them."""

    @click.option(
        "--cache",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="NEURON_WHISPER_CACHE",
        metavar="DIR",
        show_envvar=True,
        help="Cache directory.  [default: ~/.cache/neuron-whisper]",
    )
    @click.option("-q", "--quiet", is_flag=True, help="Print only warnings and errors to stderr.")
    @click.option("-v", "--verbose", is_flag=True, help="Log details, and tracebacks of errors, to stderr.")
    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> T:
        from neuron_whisper.artifact.cache_directory import default_cache_directory
        from neuron_whisper.host.home import expand_home

        cache = kwargs.pop("cache")
        quiet, verbose = bool(kwargs.pop("quiet")), bool(kwargs.pop("verbose"))
        set_up_logging(logging.DEBUG if verbose else logging.WARNING, with_times=verbose)
        directory = expand_home(cache) if isinstance(cache, Path) else default_cache_directory()
        return command(CliContext(cache=directory, quiet=quiet, verbose=verbose), *args, **kwargs)

    return wrapped
