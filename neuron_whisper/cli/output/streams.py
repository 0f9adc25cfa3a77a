"""stdout and stderr: characters that they cannot carry, a reader that has gone, a disk that is full."""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from neuron_whisper.errors import OutputUnwritable

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

REPLACE = "neuron-whisper-replace"  # the name of our error handler of codecs


class StdoutClosed(Exception):
    """The reader of stdout has gone, as `| head -1` does: it has what it wanted."""


class StandardStreams:
    """The standard streams of a process that runs one command; `install` puts them into sys.

    Errors of stdout are told from those of other files: StdoutClosed, and OutputUnwritable for a full disk. Characters
    that a stream's encoding lacks are written as ?. A stream that is closed discards what is written to it.
    """

    def __init__(self) -> None:
        self._has_replaced = False

    def install(self) -> None:
        codecs.register_error(REPLACE, self._replace)
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.flush()
            sys.stdout = io.TextIOWrapper(
                io.BufferedWriter(_StdoutFile(sys.stdout.fileno(), "wb", closefd=False)),
                encoding=sys.stdout.encoding,
                errors=REPLACE if sys.stdout.errors == "strict" else sys.stdout.errors,
                line_buffering=sys.stdout.line_buffering,
            )
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:
                setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - until the end

    def close(self) -> str:
        """Discard what cannot be written, and return a warning for the user: "" when all was written as it is."""
        with suppress(StdoutClosed, OutputUnwritable):
            sys.stdout.flush()
        try:
            sys.stderr.flush()
        except OSError:
            with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device
                os.dup2(nowhere.fileno(), sys.stderr.fileno())
        if not self._has_replaced:
            return ""
        return (
            f"warning: the encoding of the output, {sys.stdout.encoding}, lacks some characters, which are written as "
            "?; PYTHONIOENCODING=utf-8 or --output-dir keeps them"
        )

    def _replace(self, error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeEncodeError):
            raise error
        self._has_replaced = True
        return "?" * (error.end - error.start), error.end


class _StdoutFile(io.FileIO):
    """stdout's descriptor. After an error it discards what is still in the buffer above it."""

    _has_failed = False

    def write(self, content: ReadableBuffer, /) -> int:
        if self._has_failed:
            return memoryview(content).nbytes
        try:
            return super().write(content)
        except BrokenPipeError:
            self._has_failed = True
            raise StdoutClosed from None
        except OSError as error:
            self._has_failed = True
            raise OutputUnwritable("stdout", error) from None


def escape_json(text: str, stream: TextIO) -> str:
    """A JSON text that the stream can carry: the same value, with \\u escapes for characters that it lacks.

    Outside of strings, JSON has ASCII alone. Python encodes some characters as others: in Shift_JIS the yen sign as a
    backslash.
    """
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        if text.encode(encoding).decode(encoding) == text:
            return text
    except UnicodeError:
        pass
    except LookupError:
        return text
    return "".join(character if character.isascii() else json.dumps(character)[1:-1] for character in text)
