"""Serves tiny.en and runs schemathesis and the clients that people use against it; exits 1 if one fails.

Clients: openai for Python and Node, Vercel's AI SDK, Pipecat, LiveKit's plugin, LiteLLM's proxy, and a page of another
origin in Chromium. A second server has keys and lets admins load and unload models.

`python -m tests.conformance NEURON_WHISPER CLIP`: the command of the installation that is tested, and 16-bit mono
speech as a wav. Runs in the environment that `make conformance` makes; nothing of the package is imported.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_server

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
MODEL = "tiny.en"
ALIASES = ("gpt-transcribe", "gpt-4o-mini-transcribe")  # Pipecat's and LiveKit's defaults
PREFIX = "/stt"  # of the reverse proxy between the page and the server
MAX_RESPONSE_S = "120"  # generous: the machine may be busy
EXAMPLES = os.environ.get("CONFORMANCE_EXAMPLES", "40")


@contextmanager
def run_server(command: str, directory: Path, *flags: str) -> Iterator[str]:
    """Run a server and yield its URL."""
    arguments = ["--model", MODEL, "--port", "0", "--aliases", ",".join(f"{alias}={MODEL}" for alias in ALIASES)]
    arguments += flags
    with (directory / "log").open("w") as log, subprocess.Popen([command, "serve", *arguments], stderr=log) as server:
        try:
            yield wait_for_address(directory / "log", server)
        finally:
            server.terminate()
            server.wait(60)


def wait_for_address(log: Path, server: subprocess.Popen[bytes]) -> str:
    while server.poll() is None:
        if match := re.search(r"listening on (\S+)", log.read_text()):
            return match[1]
        try:
            server.wait(0.5)
        except subprocess.TimeoutExpired:
            continue
    raise SystemExit(f"the server exited:\n{log.read_text()}")


def create_admin_key(command: str, directory: Path) -> tuple[Path, str]:
    """Create a file of API keys with an admin key; returns both."""
    file = directory / "keys.json"
    result = subprocess.run(
        [command, "keys", "create", "admin", "--admin", "--file", file], check=True, stdout=subprocess.PIPE, text=True
    )
    return file, result.stdout.split()[-1]


def other_python(name: str) -> str:
    """The interpreter of a client with an environment of its own."""
    return str(Path(sys.prefix) / name / "bin" / "python")


def node(script: str) -> list[str]:
    return [str(Path(sys.executable).with_name("node")), str(HERE / "node" / f"{script}.mjs")]


def find_free_port() -> int:
    with create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def schemathesis_command(url: str, *more: str) -> list[str]:
    return [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{url}/schema/openapi.json",
        "--checks",
        "all",
        "--continue-on-failure",
        "--max-examples",
        EXAMPLES,
        "--max-response-time",
        MAX_RESPONSE_S,
        "--request-timeout",
        MAX_RESPONSE_S,
        "--no-color",
        *more,
    ]


def main(command: str, clip: str) -> int:
    python = sys.executable
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "SCHEMATHESIS_HOOKS": "tests.conformance.hooks"}
    speech = Path(clip).absolute()
    results: list[tuple[str, bool, float]] = []
    logs = []

    def run(directory: str, programs: dict[str, list[str]]) -> None:
        for name, arguments in programs.items():
            print(f"--- {name}", flush=True)
            started = time.monotonic()
            status = subprocess.run(arguments, env=environment, cwd=directory, check=False).returncode
            results.append((name, status == 0, time.monotonic() - started))
        logs.append((Path(directory) / "log").read_text())

    with tempfile.TemporaryDirectory() as directory:
        with run_server(command, Path(directory), "--jobs-dir", f"{directory}/jobs") as url:
            run(
                directory,
                {
                    "openai": [python, "-m", "tests.conformance.openai_client", url, str(speech)],
                    "Pipecat": [python, "-m", "tests.conformance.pipecat_service", url, str(speech)],
                    "Pipecat in realtime": [python, "-m", "tests.conformance.pipecat_realtime", url, str(speech)],
                    "LiveKit": [other_python("livekit"), "-m", "tests.conformance.livekit_stt", url, str(speech)],
                    "LiteLLM": [other_python("litellm"), "-m", "tests.conformance.litellm_proxy", url, str(speech)],
                    "openai for Node": [*node("openai_node"), url, str(speech)],
                    "Vercel AI SDK": [*node("vercel_ai"), url, str(speech)],
                    # an English-only model refuses every translation
                    "schemathesis": schemathesis_command(url, "--exclude-path", "/v1/audio/translations"),
                },
            )
        page_port = find_free_port()
        flags = ["--cors-origins", f"http://127.0.0.1:{page_port}"]
        with run_server(command, Path(directory), *flags) as url:
            page = [*node("browser_origin"), url, str(speech), str(page_port), PREFIX]
            run(directory, {"a page of another origin, behind a path": page})
        keys, key = create_admin_key(command, Path(directory))
        with run_server(command, Path(directory), "--keys-file", str(keys), "--model-admin") as url:
            flags = ["--header", f"Authorization: Bearer {key}", "--include-path-regex", "^/v1/models"]
            run(directory, {"schemathesis, with an admin key, on /v1/models": schemathesis_command(url, *flags)})
    if errors := re.findall(r"^.*(?:status=5\d\d|ERROR|Traceback).*$", "".join(logs), re.MULTILINE):
        print(f"the server's log: {errors[0]}")
    failed = [name for name, passed, _ in results if not passed] + ["the server's log"] * bool(errors)
    print("| client | result | s |\n| --- | --- | ---: |")
    for name, passed, took_s in results:
        print(f"| {name} | {'passed' if passed else 'failed'} | {took_s:.0f} |")
    print(f"failed: {'; '.join(failed)}" if failed else "all clients passed", flush=True)
    return bool(failed)


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
