"""Ranks at once: they meet, and the error of one is not waited for by the others."""

from __future__ import annotations

import threading

import pytest

from neuron_whisper.target.neuron.runtime.rank_threads import RankThreads


def test_ranks_run_at_once_and_return_in_their_order() -> None:
    barrier = threading.Barrier(3, timeout=10)  # as a collective: no rank leaves before all have come
    threads = RankThreads(3)

    def meet(rank: int) -> int:
        barrier.wait()
        return rank * rank

    assert [threads.run(meet), threads.run(meet)] == [[0, 1, 4], [0, 1, 4]]
    threads.close()


def test_one_rank_alone_runs_in_the_callers_thread() -> None:
    assert RankThreads(1).run(lambda rank: threading.current_thread()) == [threading.current_thread()]


@pytest.mark.parametrize("failing", [0, 1])
def test_the_error_of_a_rank_is_raised_while_another_waits_for_it(failing: int) -> None:
    threads, never = RankThreads(2), threading.Event()

    def run(rank: int) -> None:
        if rank == failing:
            raise RuntimeError(f"rank {rank}")
        never.wait(10)

    with pytest.raises(RuntimeError, match=f"rank {failing}"):
        threads.run(run)
    assert not never.is_set()
    never.set()
    threads.close()


def test_closed_threads_end() -> None:
    threads = RankThreads(2)
    running = threads.run(lambda rank: threading.current_thread())
    assert [thread.is_alive() for thread in running] == [True, True]
    threads.close()
    threads.close()
    for thread in running:
        thread.join(10)
    assert [thread.is_alive() for thread in running] == [False, False]
