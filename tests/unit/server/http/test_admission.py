"""Admission control, without I/O."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.errors import ClientBusy, Overloaded
from neuron_whisper.server.http.admission import Admission, AdmissionTicket


def make_admission(
    max_requests: int = 100, max_per_client: int = 0, max_wait_s: float = 5.0, slots: int = 2
) -> Admission:
    return Admission(max_requests=max_requests, max_per_client=max_per_client, max_wait_s=max_wait_s, slots=slots)


def admit_and_enqueue(gate: Admission, now: float, client: str = "a") -> AdmissionTicket:
    ticket = gate.admit(client, now)
    gate.enqueue(ticket, now)
    return ticket


def test_requests_are_limited_per_client_and_in_total() -> None:
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


def test_a_request_that_would_wait_too_long_is_rejected_with_a_time_to_retry() -> None:
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


def test_an_upload_that_ends_when_the_queue_is_full_is_rejected() -> None:
    gate = make_admission(max_wait_s=5, slots=1)
    late = gate.admit("late", 0)
    queue = [admit_and_enqueue(gate, 0) for _ in range(20)]
    for second in range(1, 6):  # one a second: what came before the rate was known waits long
        gate.release(queue.pop(0), second, is_served=True)
    with pytest.raises(Overloaded, match="would wait about"):
        gate.enqueue(late, 5)
    gate.release(late, 5, is_served=False)


def test_before_the_rate_is_known_only_the_number_is_limited() -> None:
    gate = make_admission(max_requests=50, max_wait_s=0.1, slots=1)
    for _ in range(50):
        admit_and_enqueue(gate, 0)
    with pytest.raises(Overloaded):
        gate.admit("a", 0)


@given(st.lists(st.tuples(st.sampled_from(["enter", "ready", "leave"]), st.floats(0, 100)), max_size=60))
def test_every_ticket_is_counted_once_and_released(events: list[tuple[str, float]]) -> None:
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
