"""Limits: who is taken when there is more work than time, and what slow clients cost the others."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar.types.asgi_types import ReceiveMessage

from neuron_whisper.errors import ClientBusy, Overloaded
from neuron_whisper.server import ServerSettings
from neuron_whisper.server.http.admission import Admission, AdmissionTicket
from neuron_whisper.server.http.errors import UploadTooSlow
from neuron_whisper.server.http.upload_limits import limit_slow_upload
from tests.support.servers import TRANSCRIPTIONS, read_error, run_server, tone

HEAD = f"POST {TRANSCRIPTIONS} HTTP/1.1\r\nHost: here\r\nContent-Type: multipart/form-data; boundary=edge\r\n"


def make_admission(
    max_requests: int = 100, max_per_client: int = 0, max_wait_s: float = 5.0, slots: int = 2
) -> Admission:
    return Admission(max_requests=max_requests, max_per_client=max_per_client, max_wait_s=max_wait_s, slots=slots)


def admit_and_enqueue(gate: Admission, now: float, client: str = "a") -> AdmissionTicket:
    ticket = gate.admit(client, now)
    gate.enqueue(ticket, now)
    return ticket


def test_requests_are_counted_for_each_client_and_for_all() -> None:
    gate = make_admission(max_requests=3, max_per_client=2)
    first = gate.admit("a", 0)
    gate.admit("a", 0)
    with pytest.raises(ClientBusy, match="2 of your requests"):
        gate.admit("a", 1)
    gate.admit("b", 1)
    with pytest.raises(Overloaded, match="3 requests are in flight"):
        gate.admit("c", 1)
    gate.release(first, 2, is_served=True)
    gate.admit("a", 2)
    with pytest.raises(ClientBusy):
        gate.admit("a", 3, client_limit=1)
    assert gate.rejected == {"client": 2, "requests": 1}


def test_who_would_wait_too_long_is_refused_with_the_time_to_come_back() -> None:
    gate = make_admission(max_wait_s=5, slots=2)
    queue = [admit_and_enqueue(gate, 0) for _ in range(14)]
    for second in range(1, 7):  # one a second
        gate.release(queue.pop(0), second, is_served=True)
    assert gate.served_per_s == pytest.approx(1, rel=0.1)
    assert gate.wait_s == pytest.approx(7, rel=0.1)  # 8 are there, 2 of them in slots, and it would be the 7th to wait
    with pytest.raises(Overloaded) as caught:
        gate.admit("b", 6)
    assert caught.value.retry_after_s == pytest.approx(2, rel=0.2)
    for _ in range(3):
        gate.release(queue.pop(0), 7, is_served=False)  # those that gave up make room, and were not served
    gate.admit("b", 7)


def test_an_upload_that_comes_in_when_the_queue_has_filled_is_refused_too() -> None:
    gate = make_admission(max_wait_s=5, slots=1)
    late = gate.admit("late", 0)
    queue = [admit_and_enqueue(gate, 0) for _ in range(20)]
    for second in range(1, 6):  # one a second: what came before the rate was known waits long
        gate.release(queue.pop(0), second, is_served=True)
    with pytest.raises(Overloaded, match="would wait about"):
        gate.enqueue(late, 5)
    gate.release(late, 5, is_served=False)


def test_before_anything_was_measured_only_the_number_counts() -> None:
    gate = make_admission(max_requests=50, max_wait_s=0.1, slots=1)
    for _ in range(50):
        admit_and_enqueue(gate, 0)
    with pytest.raises(Overloaded):
        gate.admit("a", 0)


@given(st.lists(st.tuples(st.sampled_from(["enter", "ready", "leave"]), st.floats(0, 100)), max_size=60))
def test_whatever_happens_nobody_is_counted_twice_or_left_over(events: list[tuple[str, float]]) -> None:
    gate, now = make_admission(max_requests=5, slots=1, max_wait_s=1), 0.0
    held: list[AdmissionTicket] = []
    for what, later in events:
        now += later
        with suppress(Overloaded):
            if what == "enter":
                held.append(gate.admit("a", now))
            elif held and what == "ready":
                gate.enqueue(held[0], now)
            elif held:
                gate.release(held.pop(0), now, is_served=True)
        assert gate.in_flight == len(held) <= 5
        assert gate.wait_s >= 0
    for ticket in held:
        gate.release(ticket, now, is_served=False)
        gate.enqueue(ticket, now)  # of a request that is over
    assert (gate.in_flight, gate._n_queued) == (0, 0)


def test_more_requests_than_there_may_be_are_refused_at_once_and_the_others_served() -> None:
    settings = ServerSettings(max_requests=2, vad_filter=False)
    with run_server(settings, slots=1) as server, ThreadPoolExecutor() as clients:
        server.session.gate.clear()
        held = [clients.submit(server.post) for _ in range(2)]
        server.wait_for(requests=2)
        refused = server.post()
        assert read_error(refused, 503)["code"] == "overloaded"
        assert int(refused.headers["retry-after"]) >= 1
        server.session.gate.set()
        assert [it.result().status_code for it in held] == [200, 200]
        server.wait_for(requests=0)
        with server.client() as client:
            told = client.get("/metrics").text
        assert 'neuron_whisper_requests_rejected_total{reason="overloaded"} 1.0' in told


# --- slow clients ---------------------------------------------------------------------------------


def read_until_closed(connection: socket.socket) -> bytes:
    """Everything until the server closes."""
    connection.settimeout(20)
    found = b""
    try:
        while piece := connection.recv(65536):
            found += piece
    except ConnectionResetError:
        pass
    return found


@pytest.mark.parametrize("sent", [b"", b"GET /health/live HT", b"GET /health/live HTTP/1.1\r\nHost: he"])
def test_a_connection_without_a_whole_request_is_closed(sent: bytes) -> None:
    with (
        run_server(ServerSettings(header_timeout_s=0.2, vad_filter=False)) as server,
        socket.create_connection(server.address) as slow,
    ):
        slow.sendall(sent)
        assert read_until_closed(slow) == b""
        assert server.post().status_code == 200


def test_the_next_request_of_a_connection_is_awaited_no_longer() -> None:
    with (
        run_server(ServerSettings(header_timeout_s=0.3, vad_filter=False)) as server,
        socket.create_connection(server.address) as slow,
    ):
        slow.sendall(b"GET /health/live HTTP/1.1\r\nHost: here\r\n\r\nGET /health/li")
        found = read_until_closed(slow)
        assert found.count(b"HTTP/1.1 200") == 1


def test_an_upload_that_stops_is_answered_and_given_up() -> None:
    with (
        run_server(ServerSettings(upload_idle_s=0.2, vad_filter=False)) as server,
        socket.create_connection(server.address) as slow,
    ):
        slow.sendall(f"{HEAD}Content-Length: 99999\r\n\r\n--edge\r\n".encode())
        assert read_until_closed(slow).startswith(b"HTTP/1.1 408 ")
        server.wait_for(requests=0)


def test_an_upload_that_trickles_is_given_up_after_its_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuron_whisper.server.http.upload_limits.RATE_GRACE_S", 0.0)

    async def trickle() -> ReceiveMessage:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def rest() -> None:
        receive = limit_slow_upload(trickle, idle_s=5, min_bytes_per_s=10_000)
        while True:
            await receive()

    with pytest.raises(UploadTooSlow, match="slower than 10000 bytes/s"):
        asyncio.run(rest())


def test_connections_beyond_the_limit_are_closed_and_leave_room_when_they_end() -> None:
    with run_server(ServerSettings(max_connections=3, vad_filter=False)) as server:
        held = [socket.create_connection(server.address) for _ in range(3)]
        with socket.create_connection(server.address) as one_more:
            assert read_until_closed(one_more).startswith(b"HTTP/1.1 503 ")
        for connection in held:
            connection.close()
        server.wait_for(requests=0)
        assert server.post(tone()).status_code == 200
