"""Which worker decodes which window, and what becomes of windows whose worker died. Pure: no thread, no clock."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

from neuron_whisper.decode.window import Hypothesis, WindowAsk

DEATHS = 2  # a window is tried once more after its worker's first death


@dataclass(slots=True, eq=False)
class Job:
    """A window on its way through the pool since `came_at`. `deaths` counts workers that died while they had it."""

    id: int
    ask: WindowAsk
    came_at: float = 0.0
    future: Future[Hypothesis] = field(default_factory=Future)
    deaths: int = 0

    @property
    def is_suspect(self) -> bool:
        return self.deaths >= DEATHS


class Dispatch:
    """Windows that wait, and what each worker has.

    A window goes to the least loaded worker, ties to the lowest index, and waits here while every worker has as
    many as it has slots and `ahead` more, which keep its slots full while an answer is on its way.

    A worker's death is blamed on nobody the first time: its windows go to the front of the queue. A window which was
    alone with its second dead worker fails. Where others were there too, each of them is a suspect and is decoded
    alone: then a worker's death fails it alone, and no innocent one with it.
    """

    def __init__(self, workers: int, *, slots: int, ahead: int) -> None:
        self._slots, self._most = slots, slots + ahead
        self._held: list[dict[int, Job]] = [{} for _ in range(workers)]
        self._is_up = [False] * workers
        self._queue: deque[Job] = deque()
        self._suspects: deque[Job] = deque()
        self._ids = itertools.count()

    @property
    def waiting(self) -> int:
        """Windows that are in no slot."""
        return len(self._queue) + len(self._suspects) + sum(self.load(i)[0] for i in range(len(self._held)))

    @property
    def decoding(self) -> int:
        return sum(self.load(i)[1] for i in range(len(self._held)))

    def load(self, worker: int) -> tuple[int, int]:
        """(windows that wait there, windows in its slots)"""
        n = len(self._held[worker])
        return max(0, n - self._slots), min(n, self._slots)

    def add(self, ask: WindowAsk, came_at: float = 0.0) -> Job:
        job = Job(next(self._ids), ask, came_at)
        self._queue.append(job)
        return job

    def assign(self) -> Iterator[tuple[int, Job]]:
        """(worker, window) for each window that can go now."""
        while (pair := self._next()) is not None:
            worker, job = pair
            self._held[worker][job.id] = job
            yield pair

    def _next(self) -> tuple[int, Job] | None:
        # A suspect has its worker to itself: one worker at a time takes nothing new until it is empty.
        apart = {i for i, held in enumerate(self._held) if any(job.is_suspect for job in held.values())}
        if self._suspects and not apart and (emptied := self._least_loaded(apart)) is not None:
            if not self._held[emptied]:
                return emptied, self._suspects.popleft()
            apart = {emptied}
        worker = self._least_loaded(apart) if self._queue else None
        if worker is None or len(self._held[worker]) >= self._most:
            return None
        return worker, self._queue.popleft()

    def _least_loaded(self, apart: set[int]) -> int | None:
        up = [i for i, is_up in enumerate(self._is_up) if is_up and i not in apart]
        return min(up, key=lambda i: (len(self._held[i]), i), default=None)

    def finish(self, worker: int, job_id: int) -> Job | None:
        """The worker has answered; None for a window that was cancelled meanwhile."""
        return self._held[worker].pop(job_id, None)

    def cancel(self, job: Job) -> int | None:
        """Forget a window; the worker that has it, if one has."""
        for queue in (self._queue, self._suspects):
            if job in queue:
                queue.remove(job)
                return None
        for worker, held in enumerate(self._held):
            if held.pop(job.id, None) is not None:
                return worker
        return None

    def join(self, worker: int) -> None:
        self._is_up[worker] = True

    def leave(self, worker: int) -> list[Job]:
        """The worker is dead. Its windows wait again, but for those returned, which are to fail."""
        held = list(self._held[worker].values())
        self._held[worker].clear()
        self._is_up[worker] = False
        for job in reversed(held):
            job.deaths += 1
            if not job.is_suspect:
                self._queue.appendleft(job)
            elif len(held) > 1:
                self._suspects.appendleft(job)
        return held if len(held) == 1 and held[0].is_suspect else []

    def clear(self) -> list[Job]:
        """Every window there is, forgotten."""
        jobs = [*self._queue, *self._suspects, *(job for held in self._held for job in held.values())]
        self._queue.clear()
        self._suspects.clear()
        for held in self._held:
            held.clear()
        return jobs
