"""Limits on the number of pieces."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from neuron_whisper.server.transport.piece_budget import BURST, PieceBudget


def count_allowed(sizes: Iterable[int], *, interval_s: float = 0.0) -> int:
    """How many of these pieces, sent at an interval, come before the first that exceeds the budget."""
    now = 0.0
    budget = PieceBudget(clock=lambda: now)
    n = 0
    for size in sizes:
        now += interval_s
        if not budget.spend(size):
            break
        n += 1
    return n


def test_pieces_of_a_byte_are_allowed_up_to_the_burst() -> None:
    assert count_allowed([0] * 3000) == BURST
    assert BURST <= count_allowed([1] * 3000) < BURST * 1.1


@pytest.mark.parametrize("size", [64, 80, 4096])
def test_pieces_of_64_bytes_are_allowed_forever(size: int) -> None:
    assert count_allowed([size] * 20_000) == 20_000


def test_empty_pieces_at_the_pace_of_a_live_stream_are_allowed_forever() -> None:
    assert count_allowed([0] * 20_000, interval_s=0.01) == 20_000
    assert count_allowed([0] * 20_000, interval_s=0.001) < 20_000


def test_a_large_piece_earns_no_more_than_the_burst() -> None:
    assert count_allowed([10**9] + [0] * 3000) == BURST
