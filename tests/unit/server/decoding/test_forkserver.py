"""How the end of a decoder is described."""

from __future__ import annotations

import signal

import pytest

from neuron_whisper.server.decoding.forkserver import describe_wait_status


@pytest.mark.parametrize(
    ("status", "text"),
    [(int(signal.SIGSEGV), "signal SIGSEGV"), (3 << 8, "exit code 3"), (0, "exit code 0"), (126, "signal 126")],
)
def test_a_wait_status_in_words(status: int, text: str) -> None:
    assert describe_wait_status(status) == text
