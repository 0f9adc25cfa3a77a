"""A thread for each rank of a program: ranks meet in collectives, so all of them must run at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
_Job = tuple[Callable[[int], Any], "Future[Any]"]


class RankThreads:
    """Runs a function for all ranks at once. One rank alone runs in the caller's thread.

    Daemon threads: one that waits for ever in a collective, for a rank that has failed, does not keep the process.
    """

    def __init__(self, ranks: int) -> None:
        self._queues: list[SimpleQueue[_Job | None]] = [SimpleQueue() for _ in range(ranks if ranks > 1 else 0)]
        for rank, queue in enumerate(self._queues):
            name = f"neuron-rank-{rank}"
            threading.Thread(target=_work, args=(rank, queue), name=name, daemon=True).start()

    def run(self, function: Callable[[int], T]) -> list[T]:
        """function(rank) of every rank. Raises the first error, without waiting for the other ranks then."""
        if not self._queues:
            return [function(0)]
        futures: list[Future[T]] = []
        for queue in self._queues:
            futures.append(Future())
            queue.put((function, futures[-1]))
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        for future in done:
            if (error := future.exception()) is not None:
                raise error
        return [future.result() for future in futures]

    def close(self) -> None:
        """End the threads once they have done what was asked of them. Idempotent."""
        for queue in self._queues:
            queue.put(None)


def _work(rank: int, queue: SimpleQueue[_Job | None]) -> None:
    while (job := queue.get()) is not None:
        function, future = job
        try:
            future.set_result(function(rank))
        except BaseException as error:
            future.set_exception(error)
        del job, function, future  # or the device tensors that they refer to would outlive the session
