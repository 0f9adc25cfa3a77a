"""Clients that do not read."""

from __future__ import annotations

from neuron_whisper.server.transport.send_progress import SendProgress


def find_stall(unsent: list[int], *, limit_s: float = 3.0) -> int | None:
    """The second at which a connection with these unsent bytes, one number a second, is stalled."""
    progress = SendProgress()
    return next((now for now, n in enumerate(unsent) if progress.is_stalled(n, float(now), limit_s=limit_s)), None)


def test_bytes_that_nobody_reads_are_a_stall_after_the_limit() -> None:
    assert find_stall([0, 0, 5000, 5000, 5000, 5000, 5000]) == 5


def test_a_byte_a_second_is_a_stall() -> None:
    assert find_stall([100_000 - i for i in range(10)]) == 3


def test_a_kilobyte_a_second_is_not() -> None:
    assert find_stall([100_000 - 1024 * i for i in range(90)]) is None


def test_an_empty_buffer_starts_over() -> None:
    assert find_stall([5000, 5000, 0, 5000, 5000, 0, 5000, 5000]) is None


def test_a_restart_measures_from_the_next_look() -> None:
    progress = SendProgress()
    assert not progress.is_stalled(5000, 0.0, limit_s=3.0)
    progress.restart()
    assert not progress.is_stalled(9000, 10.0, limit_s=3.0)
    assert progress.is_stalled(9000, 13.0, limit_s=3.0)
