"""Serves tiny.en and runs schemathesis, the openai client and Pipecat's services against it; exits 1 if one fails.

`python -m tests.conformance NEURON_WHISPER CLIP`: the command of the installation that is tested, and 16-bit mono
speech as a wav. Runs in the environment that `make conformance` makes; nothing of the package is imported.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
MODEL = "tiny.en"
ALIAS = "gpt-transcribe"  # Pipecat's default
LONGEST_ANSWER_S = "120"  # of a machine that does other things, too
EXAMPLES = os.environ.get("CONFORMANCE_EXAMPLES", "40")


@contextmanager
def served(command: str, directory: Path) -> Iterator[str]:
    """The address of a server with every route that needs no key."""
    arguments = ["--model", MODEL, "--port", "0", "--aliases", f"{ALIAS}={MODEL}", "--jobs-dir", f"{directory}/jobs"]
    with (directory / "log").open("w") as log, subprocess.Popen([command, "serve", *arguments], stderr=log) as server:
        try:
            yield address(directory / "log", server)
        finally:
            server.terminate()
            server.wait(60)


def address(log: Path, server: subprocess.Popen[bytes]) -> str:
    while server.poll() is None:
        if found := re.search(r"listening on (\S+)", log.read_text()):
            return found[1]
        try:
            server.wait(0.5)
        except subprocess.TimeoutExpired:
            continue
    raise SystemExit(f"the server ended:\n{log.read_text()}")


def main(command: str, clip: str) -> int:
    python = sys.executable
    here = {**os.environ, "PYTHONPATH": str(REPOSITORY), "SCHEMATHESIS_HOOKS": "tests.conformance.hooks"}
    failed, speech = [], Path(clip).absolute()
    with tempfile.TemporaryDirectory() as directory, served(command, Path(directory)) as url:
        for name, arguments in {
            "openai": [python, "-m", "tests.conformance.openai_client", url, str(speech)],
            "Pipecat": [python, "-m", "tests.conformance.pipecat_service", url, str(speech)],
            "Pipecat in realtime": [python, "-m", "tests.conformance.pipecat_realtime", url, str(speech)],
            "schemathesis": [
                str(Path(python).with_name("schemathesis")), "run", f"{url}/schema/openapi.json", "--checks", "all",
                "--continue-on-failure", "--max-examples", EXAMPLES, "--max-response-time", LONGEST_ANSWER_S,
                "--request-timeout", LONGEST_ANSWER_S, "--no-color",
            ],
        }.items():  # fmt: skip
            print(f"--- {name}", flush=True)
            if subprocess.run(arguments, env=here, cwd=directory, check=False).returncode:
                failed.append(name)
        log = (Path(directory) / "log").read_text()
    if errors := re.findall(r"^.*(?:status=5\d\d|ERROR|Traceback).*$", log, re.MULTILINE):
        failed.append(f"the server's log: {errors[0]}")
    print(f"failed: {'; '.join(failed)}" if failed else "every client is content", flush=True)
    return bool(failed)


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
