"""File descriptors of connections; tests/integration/test_hostile_connections.py has a server that lacks them."""

from __future__ import annotations

import asyncio
import errno
import logging
import subprocess
import sys
from collections import Counter

import pytest

from neuron_whisper.server.transport.descriptors import RESERVED, AcceptErrors
from tests.support.paths import ROOT

FIT = """
import resource
from neuron_whisper.server.transport.descriptors import fit_connections
for soft, hard, wanted in ((128, 1024, 200), (900, 1024, 200), (128, 256, 4096)):
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    print(fit_connections(wanted), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def test_the_soft_limit_is_raised_as_far_as_connections_need_and_the_hard_limit_allows() -> None:
    done = subprocess.run([sys.executable, "-c", FIT], cwd=ROOT, capture_output=True, text=True, check=True)
    raised, sufficient, bounded = (tuple(map(int, line.split())) for line in done.stdout.splitlines())
    assert raised[0] == 200
    assert 300 + RESERVED < raised[1] < 300 + RESERVED + 50
    assert sufficient == (200, 900)
    assert 100 < bounded[0] < (256 - RESERVED) * 2 / 3
    assert bounded[1] == 256


def test_a_failed_accept_is_counted_and_logged_once_in_ten_seconds(caplog: pytest.LogCaptureFixture) -> None:
    now, counts = 0.0, Counter[str]()
    handle = AcceptErrors(lambda reason: counts.update([reason]), clock=lambda: now)
    loop = asyncio.new_event_loop()
    try:
        for now in (0.0, 1.0, 9.0, 10.0, 11.0):  # noqa: B007  # the clock reads it
            handle(loop, {"exception": OSError(errno.EMFILE, "Too many open files"), "socket": object()})
    finally:
        loop.close()
    assert counts == Counter(descriptors=5)
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert not any(record.exc_info for record in caplog.records)


def test_other_errors_are_logged_as_ever(caplog: pytest.LogCaptureFixture) -> None:
    counts = Counter[str]()
    loop = asyncio.new_event_loop()
    try:
        AcceptErrors(lambda reason: counts.update([reason]))(loop, {"message": "odd", "exception": ValueError("odd")})
    finally:
        loop.close()
    assert not counts
    assert [record.exc_info is not None for record in caplog.records] == [True]
