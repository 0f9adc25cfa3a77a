"""A few of everything that `make stress` does by the hundreds: other clients are served, and nothing is left over."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import subprocess
import sys
import time
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from neuron_whisper.server import ServerSettings
from tests.support.hostile_clients import (
    SteadyClient,
    count_open_files,
    disconnect,
    half_close,
    send_uploads,
    slow_loris,
)
from tests.support.hostile_files import generate_bombs, generate_uploads
from tests.support.paths import ROOT
from tests.support.servers import TRANSCRIPTIONS, RunningServer, read_error, run_server, tone

T = TypeVar("T")
SETTINGS = ServerSettings(
    vad_filter=False, decoders=1, max_audio_s=30.0, header_timeout_s=1.0, upload_idle_s=1.0, upload_least_bytes_s=1000
)


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with run_server(SETTINGS) as made:
        yield made


def run_beside_neighbour(server: RunningServer, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives, while a neighbour is served as if it were alone; then everything is free again."""

    async def both() -> T:
        neighbour = SteadyClient(server.url, tone(777, 0.5))
        asking = asyncio.ensure_future(neighbour.run())
        try:
            return await work
        finally:
            while not neighbour.latencies_s:
                await asyncio.sleep(0.05)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            assert not neighbour.failures
            assert len(neighbour.texts) == 1

    found = asyncio.run(both())
    server.wait_for(requests=0, waiting=0, decoding=0)
    return found


def test_hostile_files_are_answered_as_what_they_are_and_harm_nobody(server: RunningServer) -> None:
    statuses, wrong = run_beside_neighbour(server, send_uploads(server.url, generate_uploads(60)))
    assert wrong == []
    assert sum(statuses.values()) == 60


def test_files_that_unpack_to_hours_and_gigabytes_are_refused_before_they_do(server: RunningServer) -> None:
    statuses, wrong = run_beside_neighbour(server, send_uploads(server.url, generate_bombs(flac_s=2.0)))
    assert wrong == []
    assert statuses["bomb: opus: 413"] == statuses["bomb: rate: 400"] == 1


def test_clients_that_go_away_leave_nothing_behind(server: RunningServer) -> None:
    server.post()
    before = count_open_files(os.getpid())
    run_beside_neighbour(server, disconnect(server.url, 40))
    assert server.post().status_code == 200
    ends = time.monotonic() + 20
    while count_open_files(os.getpid()) > before:
        assert time.monotonic() < ends
        server.wait_for(requests=0)


def test_slow_clients_are_closed_and_half_closed_ones_do_not_stay(server: RunningServer) -> None:
    closed = run_beside_neighbour(server, slow_loris(server.url, 10, for_s=15.0))
    assert closed == 10
    run_beside_neighbour(server, half_close(server.url, 5))


# --- a disk without room, and a clock that jumps ------------------------------------------------------

FULL_DISK = """
import resource, signal, tempfile
from tests.support.servers import read_error, run_server
with run_server() as server:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
    error = read_error(server.post(bytes(4 << 20)), 507)
    print(error["code"])
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    server.wait_for(requests=0)
    print(server.post().status_code)
"""


def test_an_upload_for_which_the_disk_has_no_room_is_refused_and_the_next_is_served() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["storage_full", "200"]


def test_nothing_that_waits_in_memory_looks_at_a_clock_that_can_be_set() -> None:
    """Jobs outlive the process, so their times are dates; their runner looks again after a minute whatever they say."""
    found = {
        str(file.relative_to(ROOT))
        for part in ("engine", "server", "longform")
        for file in (ROOT / "neuron_whisper" / part).rglob("*.py")
        if re.search(r"\btime\.time\(|datetime\.(utc)?now\(", file.read_text())
    }
    allowed = "neuron_whisper/server/state.py"  # when a model came, for clients
    assert {name for name in found if not name.startswith("neuron_whisper/server/jobs/")} <= {allowed}


def test_a_disk_that_is_full_has_more_than_one_name() -> None:
    from neuron_whisper.server.http.errors import DISK_FULL_ERRNOS

    assert {errno.ENOSPC, errno.EDQUOT, errno.EFBIG} == DISK_FULL_ERRNOS


def test_an_error_in_the_middle_of_a_form_is_answered_once(server: RunningServer) -> None:
    with server.client() as client:
        answer = client.post(TRANSCRIPTIONS, files={"file": tone()}, data={"prompt": "p" * 70_000})
    assert read_error(answer, 400)["param"] == "prompt"
