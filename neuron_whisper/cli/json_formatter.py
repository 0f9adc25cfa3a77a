"""Formats log records as JSON, one object a line, for log collectors."""

from __future__ import annotations

import io
import json
import logging
import re
from datetime import UTC, datetime
from typing import TextIO

from neuron_whisper.cli.output.streams import escape_json

FIELD = re.compile(r"(\w+)=('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\S*)")
NUMBER = re.compile(r"-?\d+(\.\d+)?")


class JsonFormatter(logging.Formatter):
    """ "request id=r1 status=200" -> {"time": ..., "level": "INFO", "logger": ..., "event": "request", "id": "r1",
    "status": 200}. A line of this package is an event followed by name=value fields; one without is all event.
    """

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        fields = list(FIELD.finditer(message))
        event = message[: fields[0].start()].strip() if fields else message
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "event": event,
        }
        for field in fields:
            line.setdefault(field[1], _parse_value(field[2]))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def _parse_value(text: str) -> object:
    if NUMBER.fullmatch(text):
        return float(text) if "." in text else int(text)
    if len(text) > 1 and text[0] in "'\"" and text[-1] == text[0]:
        return text[1:-1]
    return text


class JsonStderr(io.TextIOBase):
    """A stderr on which every line is a JSON object, also those that no logger writes: progress, warnings, errors."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._rest = ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if line.strip():
                line = line if line.startswith("{") else _to_json(line)
                self._stream.write(f"{escape_json(line, self._stream)}\n")
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def fileno(self) -> int:
        return self._stream.fileno()


def _to_json(line: str) -> str:
    is_error = line.startswith("error: ")
    level = logging.ERROR if is_error else logging.INFO
    record = logging.LogRecord("stderr", level, "", 0, line.removeprefix("error: ").strip(), None, None)
    return JsonFormatter().format(record)
