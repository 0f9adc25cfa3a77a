"""Dispatcher: which worker gets a window, and what a crash does to windows."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from neuron_whisper.engine.dispatcher import Dispatcher, PoolRequest
from tests.support.replicas import (
    window_request,
)


def make_dispatcher(workers: int = 2, slots: int = 2, prefetch: int = 1) -> Dispatcher:
    dispatcher = Dispatcher(workers, slots=slots, prefetch=prefetch)
    for worker in range(workers):
        dispatcher.attach_worker(worker)
    return dispatcher


def enqueue_windows(dispatcher: Dispatcher, n: int) -> list[PoolRequest]:
    return [dispatcher.enqueue(window_request(seed)) for seed in range(n)]


def test_a_window_goes_to_the_least_loaded_worker_and_ties_to_the_first() -> None:
    dispatcher = make_dispatcher(workers=3, slots=4)
    requests = enqueue_windows(dispatcher, 4)
    assert [worker for worker, _ in dispatcher.assign()] == [0, 1, 2, 0]
    dispatcher.finish(0, requests[0].id)
    dispatcher.finish(0, requests[3].id)
    enqueue_windows(dispatcher, 3)
    assert [worker for worker, _ in dispatcher.assign()] == [0, 0, 1]


def test_a_worker_is_assigned_its_slots_and_the_prefetch_and_the_rest_waits() -> None:
    dispatcher = make_dispatcher(workers=2, slots=2, prefetch=1)
    enqueue_windows(dispatcher, 9)
    assert len(list(dispatcher.assign())) == 6
    assert (dispatcher.waiting, dispatcher.decoding) == (5, 4)
    assert dispatcher.worker_load(0) == dispatcher.worker_load(1) == (1, 2)


def test_windows_of_a_dead_worker_are_first_in_the_queue() -> None:
    dispatcher = make_dispatcher(workers=1, slots=2, prefetch=0)
    requests = enqueue_windows(dispatcher, 3)
    list(dispatcher.assign())
    assert dispatcher.detach_worker(0) == []
    dispatcher.attach_worker(0)
    assert [request for _, request in dispatcher.assign()] == requests[:2]


def test_a_window_that_was_alone_with_its_second_dead_worker_fails() -> None:
    dispatcher = make_dispatcher()
    (request,) = enqueue_windows(dispatcher, 1)
    ((first, _),) = dispatcher.assign()
    assert dispatcher.detach_worker(first) == []
    ((second, _),) = dispatcher.assign()
    assert second != first
    assert dispatcher.detach_worker(second) == [request]
    assert dispatcher.waiting == dispatcher.decoding == 0


def test_a_cancelled_window_is_forgotten_in_the_queue_and_in_a_worker() -> None:
    dispatcher = make_dispatcher(workers=1, slots=1, prefetch=0)
    assigned, waiting = enqueue_windows(dispatcher, 2)
    list(dispatcher.assign())
    assert dispatcher.cancel(assigned) == 0
    assert dispatcher.cancel(waiting) is None
    assert dispatcher.cancel(waiting) is None
    assert dispatcher.finish(0, assigned.id) is None
    assert dispatcher.waiting == dispatcher.decoding == 0


@settings(max_examples=100, deadline=None)
@given(
    n=st.integers(1, 25),
    workers=st.integers(1, 4),
    slots=st.integers(1, 5),
    prefetch=st.integers(0, 2),
    poison=st.sets(st.integers(0, 24), max_size=3),
    seed=st.integers(0, 10_000),
)
def test_windows_that_kill_their_worker_fail_and_no_other_does(
    n: int, workers: int, slots: int, prefetch: int, poison: set[int], seed: int
) -> None:
    """Whatever the order in which workers complete windows, die and are restarted."""
    dispatcher, chance = make_dispatcher(workers, slots, prefetch), random.Random(seed)
    requests = enqueue_windows(dispatcher, n)
    assigned: dict[int, list[PoolRequest]] = {worker: [] for worker in range(workers)}
    down: set[int] = set()
    answered, failed = set(), set()
    for _ in range(100 * n):
        for worker, request in dispatcher.assign():
            assigned[worker].append(request)
            assert len(assigned[worker]) <= slots + prefetch
        worker = chance.randrange(workers)
        if worker in down:
            down.discard(worker)
            dispatcher.attach_worker(worker)
        elif deadly := [request for request in assigned[worker][:slots] if request.id in poison]:
            assert len(deadly) <= 1 or len(assigned[worker]) > 1
            failed |= {request.id for request in dispatcher.detach_worker(worker)}
            assigned[worker].clear()
            down.add(worker)
        elif assigned[worker]:
            request = assigned[worker].pop(0)
            assert dispatcher.finish(worker, request.id) is request
            answered.add(request.id)
    assert failed == {request.id for request in requests} & poison
    assert answered == {request.id for request in requests} - poison
    assert dispatcher.waiting == dispatcher.decoding == 0
