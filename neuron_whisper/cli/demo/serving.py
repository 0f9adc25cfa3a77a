"""The demo's server in a process of its own, and requests to it."""

from __future__ import annotations

import json
import re
import secrets
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from neuron_whisper.cli.context import CliContext
from neuron_whisper.errors import TargetUnavailable

if TYPE_CHECKING:
    from neuron_whisper.bench.process.server import ServerProcess

RESPONSE_TIMEOUT_S = 600.0
GRAPHS = {"encode": "encode", "prefill": "prefill", "decode": "step", "align": "align"}  # -> the metric's name
METRIC = re.compile(r"^neuron_whisper_(?P<metric>\w+)_seconds_(?P<part>sum|count)(?:\{.*\})? (?P<value>\S+)$", re.M)


class DemoFailed(click.ClickException):
    """The server that the demo started failed; the message holds its log."""

    exit_code = 70  # EX_SOFTWARE of sysexits.h


@contextmanager
def run_server(context: CliContext, artifact: str) -> Iterator[ServerProcess]:
    """A server, ready; stopped by SIGTERM when the block ends. Raises DemoFailed."""
    from neuron_whisper.bench.process.server import ServerProcess

    command = [
        sys.executable,
        "-m",
        "neuron_whisper",
        "serve",
        "--artifact",
        artifact,
        "--port",
        "0",
        "--cache",
        str(context.cache),
        *(["--verbose"] if context.verbose else []),
    ]
    try:
        server = ServerProcess(command, ready_path="/health/ready")
    except TargetUnavailable as error:
        failed = DemoFailed(f"the server did not start: {error.reason}")
        for note in getattr(error, "__notes__", ()):
            failed.add_note(note)
        raise failed from error
    with server:
        yield server
        code = server.stop()
        if code:
            raise DemoFailed(f"the server ended with exit code {code}\n{server.read_log()}")


def transcribe_file(url: str, path: Path) -> dict[str, Any]:
    """The server's verbose_json of a file. Raises DemoFailed with any other response."""
    # all of the recording is decoded: without a window the graphs would not run
    fields = {"model": "whisper-1", "response_format": "verbose_json", "vad_filter": "false"}
    body, content_type = encode_multipart(fields, path.name, path.read_bytes())
    request = urllib.request.Request(  # noqa: S310 - our server
        f"{url}/v1/audio/transcriptions", data=body, headers={"Content-Type": content_type}
    )
    try:
        with urllib.request.urlopen(request, timeout=RESPONSE_TIMEOUT_S) as response:  # noqa: S310 - our server
            answer: dict[str, Any] = json.load(response)
    except urllib.error.HTTPError as error:
        raise DemoFailed(f"HTTP {error.code} from the server: {error.read().decode(errors='replace')}") from error
    except OSError as error:
        raise DemoFailed(f"no response from the server: {error}") from error
    return answer


def read_graph_times(url: str) -> dict[str, dict[str, Any]]:
    """Graph -> number of calls and their mean seconds so far, by the server's metrics."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=RESPONSE_TIMEOUT_S) as response:  # noqa: S310 - our server
        return parse_graph_times(response.read().decode())


def parse_graph_times(metrics: str) -> dict[str, dict[str, Any]]:
    """The text of /metrics -> {"encode": {"calls": 2, "mean_s": 0.1}, ...}, without graphs that were not called."""
    values: dict[tuple[str, str], float] = {}
    for match in METRIC.finditer(metrics):  # a line for each model
        at = (match["metric"], match["part"])
        values[at] = values.get(at, 0.0) + float(match["value"])
    times = {}
    for graph, metric in GRAPHS.items():
        if calls := int(values.get((metric, "count"), 0)):
            times[graph] = {"calls": calls, "mean_s": round(values.get((metric, "sum"), 0.0) / calls, 6)}
    return times


def encode_multipart(fields: dict[str, str], file_name: str, content: bytes) -> tuple[bytes, str]:
    """A form with one file, field "file", as multipart/form-data (RFC 7578): the body and its content type."""
    boundary = secrets.token_hex(16)
    quoted = file_name.replace("\\", "_").replace('"', "_").replace("\r", "_").replace("\n", "_")
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{quoted}"\r\n'
    parts += [f"{head}Content-Type: application/octet-stream\r\n\r\n".encode(), content]
    parts.append(f"\r\n--{boundary}--\r\n".encode())
    return b"".join(parts), f"multipart/form-data; boundary={boundary}"
