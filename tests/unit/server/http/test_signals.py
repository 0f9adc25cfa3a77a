"""SIGTERM while models are loaded."""

from __future__ import annotations

import signal
import subprocess
import sys

from neuron_whisper.server.http.signals import exit_on_sigterm
from tests.support.paths import ROOT
from tests.support.servers import TIMEOUT_S

LOADING = """
import hashlib
from neuron_whisper.server.http.signals import exit_on_sigterm
with exit_on_sigterm():
    print("loading", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"x", b"y", 2_000_000_000)  # native code, for minutes
"""


def test_sigterm_ends_the_process_inside_native_code() -> None:
    with subprocess.Popen([sys.executable, "-c", LOADING], cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"loading\n"
        process.terminate()
        try:
            assert process.wait(TIMEOUT_S) == 128 + 15
        finally:
            process.kill()


def test_the_old_handler_is_restored() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with exit_on_sigterm():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
