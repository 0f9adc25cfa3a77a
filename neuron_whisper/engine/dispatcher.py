"""Dispatcher: which worker decodes which window, and whether a dead worker's windows are tried again. No I/O."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

from neuron_whisper.decode.window import DecodingResult, WindowRequest

MAX_CRASHES = 2  # a window is decoded again after the first crash of its worker


@dataclass(slots=True, eq=False)
class PoolRequest:
    """A window that was submitted to the pool at `enqueued_at`. `crashes` counts workers that died with it."""

    id: int
    window: WindowRequest
    enqueued_at: float = 0.0
    future: Future[DecodingResult] = field(default_factory=Future)
    crashes: int = 0

    @property
    def is_poison_suspect(self) -> bool:
        return self.crashes >= MAX_CRASHES


class Dispatcher:
    """The queue of waiting windows, and the windows assigned to each worker.

    A window goes to the least loaded worker, ties to the lowest index. It waits here while every worker has one for
    each of its slots and `prefetch` more, which keep its slots full while a result is on its way.

    When a worker dies its windows go to the front of the queue. A window that was alone with the second worker that
    died fails. Where others were assigned with it, each of them is a poison suspect and is decoded alone: when that
    worker dies too, the window fails, and no other with it.
    """

    def __init__(self, workers: int, *, slots: int, prefetch: int) -> None:
        self._slots, self._capacity = slots, slots + prefetch
        self._assigned: list[dict[int, PoolRequest]] = [{} for _ in range(workers)]
        self._is_attached = [False] * workers
        self._queue: deque[PoolRequest] = deque()
        self._suspects: deque[PoolRequest] = deque()
        self._ids = itertools.count()

    @property
    def waiting(self) -> int:
        """Windows that are in no slot."""
        return len(self._queue) + len(self._suspects) + sum(self.worker_load(i)[0] for i in range(len(self._assigned)))

    @property
    def decoding(self) -> int:
        return sum(self.worker_load(i)[1] for i in range(len(self._assigned)))

    def worker_load(self, worker: int) -> tuple[int, int]:
        """(windows that wait in the worker's engine, windows in its slots), by their number alone."""
        n = len(self._assigned[worker])
        return max(0, n - self._slots), min(n, self._slots)

    def enqueue(self, window: WindowRequest, enqueued_at: float = 0.0) -> PoolRequest:
        request = PoolRequest(next(self._ids), window, enqueued_at)
        self._queue.append(request)
        return request

    def assign(self) -> Iterator[tuple[int, PoolRequest]]:
        """(worker, request) for each window that a worker has capacity for now."""
        while (pair := self._next_assignment()) is not None:
            worker, request = pair
            self._assigned[worker][request.id] = request
            yield pair

    def _next_assignment(self) -> tuple[int, PoolRequest] | None:
        # A suspect is decoded alone: one worker at a time is assigned nothing new until it is empty.
        excluded = {
            i
            for i, assigned in enumerate(self._assigned)
            if any(request.is_poison_suspect for request in assigned.values())
        }
        if self._suspects and not excluded and (emptied := self._least_loaded(excluded)) is not None:
            if not self._assigned[emptied]:
                return emptied, self._suspects.popleft()
            excluded = {emptied}
        worker = self._least_loaded(excluded) if self._queue else None
        if worker is None or len(self._assigned[worker]) >= self._capacity:
            return None
        return worker, self._queue.popleft()

    def _least_loaded(self, excluded: set[int]) -> int | None:
        attached = [i for i, is_attached in enumerate(self._is_attached) if is_attached and i not in excluded]
        return min(attached, key=lambda i: (len(self._assigned[i]), i), default=None)

    def finish(self, worker: int, request_id: int) -> PoolRequest | None:
        """Forget a window that its worker completed -> the request; None when it was cancelled meanwhile."""
        return self._assigned[worker].pop(request_id, None)

    def cancel(self, request: PoolRequest) -> int | None:
        """Forget a window -> the worker that it is assigned to, if any."""
        for queue in (self._queue, self._suspects):
            if request in queue:
                queue.remove(request)
                return None
        for worker, assigned in enumerate(self._assigned):
            if assigned.pop(request.id, None) is not None:
                return worker
        return None

    def attach_worker(self, worker: int) -> None:
        """From now on windows are assigned to this worker."""
        self._is_attached[worker] = True

    def detach_worker(self, worker: int) -> list[PoolRequest]:
        """Queue the windows of a dead worker again -> the window, if any, that must fail instead."""
        assigned = list(self._assigned[worker].values())
        self._assigned[worker].clear()
        self._is_attached[worker] = False
        for request in reversed(assigned):
            request.crashes += 1
            if not request.is_poison_suspect:
                self._queue.appendleft(request)
            elif len(assigned) > 1:
                self._suspects.appendleft(request)
        return assigned if len(assigned) == 1 and assigned[0].is_poison_suspect else []

    def clear(self) -> list[PoolRequest]:
        """Forget every window -> all of them."""
        requests = [
            *self._queue,
            *self._suspects,
            *(request for assigned in self._assigned for request in assigned.values()),
        ]
        self._queue.clear()
        self._suspects.clear()
        for assigned in self._assigned:
            assigned.clear()
        return requests
