"""SIGTERM at the start of a process that ignores it, as process 1 of a container does."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.support.paths import ROOT
from tests.support.servers import TIMEOUT_S

START = "import signal; signal.signal(signal.SIGTERM, signal.{action}); import neuron_whisper.cli; "


def run_until_sigterm(action: str) -> int:
    """The exit status of a process that has begun to load the commands and gets SIGTERM."""
    program = START.format(action=action) + "print('begun', flush=True); import time; time.sleep(30)"
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.terminate()
        try:
            return process.wait(TIMEOUT_S)
        finally:
            process.kill()


@pytest.mark.parametrize(("action", "status"), [("SIG_IGN", 128 + signal.SIGTERM), ("SIG_DFL", -signal.SIGTERM)])
def test_sigterm_ends_a_process_that_has_just_begun(action: str, status: int) -> None:
    assert run_until_sigterm(action) == status


def test_a_handler_of_the_embedding_program_stays() -> None:
    program = (
        "import signal; signal.signal(signal.SIGTERM, print); import neuron_whisper.cli; "
        "print(signal.getsignal(signal.SIGTERM) is print)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
