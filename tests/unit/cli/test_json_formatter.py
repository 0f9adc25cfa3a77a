"""JSON log lines."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from neuron_whisper.cli.context import set_up_logging, write_stderr
from neuron_whisper.cli.json_formatter import JsonFormatter, JsonStderr


def test_a_log_line_is_an_object_with_its_fields() -> None:
    record = logging.LogRecord(
        "neuron_whisper.server",
        logging.INFO,
        "x.py",
        1,
        "request id=%s status=%d took_ms=%.1f path=%s why=%r",
        ("req_1", 200, 12.5, "/v1/a%20b", "it's over"),
        None,
    )
    line = json.loads(JsonFormatter().format(record))
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "INFO",
        "logger": "neuron_whisper.server",
        "event": "request",
        "id": "req_1",
        "status": 200,
        "took_ms": 12.5,
        "path": "/v1/a%20b",
        "why": "it's over",
    }


def test_a_traceback_is_a_field_of_one_line() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        record = logging.LogRecord("n", logging.ERROR, "x.py", 1, "engine stopped", None, sys.exc_info())
    text = JsonFormatter().format(record)
    assert "\n" not in text
    line = json.loads(text)
    assert line["event"] == "engine stopped"
    assert "ValueError: two" in line["traceback"]


def test_json_stderr_makes_an_object_of_every_line() -> None:
    stream = io.StringIO()
    stderr = JsonStderr(stream)
    print("compiling", end="", file=stderr)
    print(" base\nerror: disk full\n", file=stderr)
    stderr.write('{"event": "request"}\n')
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line.get("level"), line["event"]) for line in lines] == [
        ("INFO", "compiling base"),
        ("ERROR", "disk full"),
        (None, "request"),
    ]


@pytest.mark.usefixtures("restored_logging")
def test_warnings_of_uvicorn_are_objects_too(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(logging.INFO, with_times=True, as_json=True)
    logging.getLogger("uvicorn.error").warning("Exception in ASGI application")
    logging.getLogger("neuron_whisper.server").info("listening url=%s", "http://127.0.0.1:1")
    write_stderr("compiling base")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["logger"], line["event"]) for line in lines] == [
        ("uvicorn.error", "Exception in ASGI application"),
        ("neuron_whisper.server", "listening"),
        ("stderr", "compiling base"),
    ]


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """Logging to stderr is set up for the whole process: take it back."""
    stderr = sys.stderr
    yield
    sys.stderr = stderr
    logging.captureWarnings(capture=False)
    set_up_logging(logging.WARNING, with_times=False)
