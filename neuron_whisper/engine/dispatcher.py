"""Which worker decodes which window, and what becomes of windows whose worker died. Pure: no thread, no clock."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

from neuron_whisper.decode.window import DecodingResult, WindowRequest

MAX_CRASHES = 2  # a window is tried once more after its worker's first death


@dataclass(slots=True, eq=False)
class PoolRequest:
    """A window on its way through the pool since `enqueued_at`. `crashes` counts workers that died while they had
    it."""

    id: int
    window: WindowRequest
    enqueued_at: float = 0.0
    future: Future[DecodingResult] = field(default_factory=Future)
    crashes: int = 0

    @property
    def is_poison_suspect(self) -> bool:
        return self.crashes >= MAX_CRASHES


class Dispatcher:
    """Windows that wait, and what each worker has.

    A window goes to the least loaded worker, ties to the lowest index, and waits here while every worker has as
    many as it has slots and `prefetch` more, which keep its slots full while an answer is on its way.

    A worker's death is blamed on nobody the first time: its windows go to the front of the queue. A window which was
    alone with its second dead worker fails. Where others were there too, each of them is a suspect and is decoded
    alone: then a worker's death fails it alone, and no innocent one with it.
    """

    def __init__(self, workers: int, *, slots: int, prefetch: int) -> None:
        self._slots, self._capacity = slots, slots + prefetch
        self._assigned: list[dict[int, PoolRequest]] = [{} for _ in range(workers)]
        self._is_up = [False] * workers
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
        """(windows that wait there, windows in its slots)"""
        n = len(self._assigned[worker])
        return max(0, n - self._slots), min(n, self._slots)

    def enqueue(self, window: WindowRequest, enqueued_at: float = 0.0) -> PoolRequest:
        job = PoolRequest(next(self._ids), window, enqueued_at)
        self._queue.append(job)
        return job

    def assign(self) -> Iterator[tuple[int, PoolRequest]]:
        """(worker, window) for each window that can go now."""
        while (pair := self._next_assignment()) is not None:
            worker, job = pair
            self._assigned[worker][job.id] = job
            yield pair

    def _next_assignment(self) -> tuple[int, PoolRequest] | None:
        # A suspect has its worker to itself: one worker at a time takes nothing new until it is empty.
        apart = {i for i, held in enumerate(self._assigned) if any(job.is_poison_suspect for job in held.values())}
        if self._suspects and not apart and (emptied := self._least_loaded(apart)) is not None:
            if not self._assigned[emptied]:
                return emptied, self._suspects.popleft()
            apart = {emptied}
        worker = self._least_loaded(apart) if self._queue else None
        if worker is None or len(self._assigned[worker]) >= self._capacity:
            return None
        return worker, self._queue.popleft()

    def _least_loaded(self, excluded: set[int]) -> int | None:
        up = [i for i, is_up in enumerate(self._is_up) if is_up and i not in excluded]
        return min(up, key=lambda i: (len(self._assigned[i]), i), default=None)

    def finish(self, worker: int, request_id: int) -> PoolRequest | None:
        """The worker has answered; None for a window that was cancelled meanwhile."""
        return self._assigned[worker].pop(request_id, None)

    def cancel(self, request: PoolRequest) -> int | None:
        """Forget a window; the worker that has it, if one has."""
        for queue in (self._queue, self._suspects):
            if request in queue:
                queue.remove(request)
                return None
        for worker, held in enumerate(self._assigned):
            if held.pop(request.id, None) is not None:
                return worker
        return None

    def attach_worker(self, worker: int) -> None:
        self._is_up[worker] = True

    def detach_worker(self, worker: int) -> list[PoolRequest]:
        """The worker is dead. Its windows wait again, but for those returned, which are to fail."""
        held = list(self._assigned[worker].values())
        self._assigned[worker].clear()
        self._is_up[worker] = False
        for job in reversed(held):
            job.crashes += 1
            if not job.is_poison_suspect:
                self._queue.appendleft(job)
            elif len(held) > 1:
                self._suspects.appendleft(job)
        return held if len(held) == 1 and held[0].is_poison_suspect else []

    def clear(self) -> list[PoolRequest]:
        """Every window there is, forgotten."""
        jobs = [*self._queue, *self._suspects, *(job for held in self._assigned for job in held.values())]
        self._queue.clear()
        self._suspects.clear()
        for held in self._assigned:
            held.clear()
        return jobs
