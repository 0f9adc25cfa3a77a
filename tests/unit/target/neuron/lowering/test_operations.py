"""Attention, lanes and rows of caches in plain torch; tests/neuron_sim holds what they are lowered to."""

from __future__ import annotations

import pytest
import torch

from neuron_whisper.target.neuron.lowering.operations import (
    PARTITIONS,
    PartitionedOperations,
    flat_positions,
    reorder_rows,
)

OPERATIONS = PartitionedOperations()


def test_attention_is_that_of_scaled_dot_product_attention() -> None:
    q, k, v = torch.randn(3, 2, 4, 10, 8, generator=torch.Generator().manual_seed(3))
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=1.0)
    torch.testing.assert_close(OPERATIONS.attention(q, k, v), expected)


@pytest.mark.parametrize("rows", [1, 2, 5, 8, 16, 40, 64, 128, 200])
def test_rows_times_blocks_fill_the_lanes_and_no_more(rows: int) -> None:
    lanes = rows * OPERATIONS.vocab_blocks(rows)
    assert lanes <= max(rows, PARTITIONS)
    assert lanes > PARTITIONS / 2 or rows > PARTITIONS / 2


def test_rows_are_written_where_their_positions_are_and_nowhere_else() -> None:
    state = torch.zeros(2, 3, 5, 4)  # three heads in each of two rows, five positions
    positions = torch.tensor([[1, 1, 1], [4, 4, 4]], dtype=torch.int32)
    rows = torch.arange(1.0, 25).view(2, 3, 4)
    at = flat_positions(positions, 5)
    written = OPERATIONS.put_rows(state.view(-1, 4), at, rows.view(-1, 4)).view(state.shape)
    assert torch.equal(written[0, :, 1], rows[0])
    assert torch.equal(written[1, :, 4], rows[1])
    assert written.count_nonzero() == rows.numel()
    assert state.count_nonzero() == 0, "the state itself is as it was"


def test_beams_take_their_parents_rows() -> None:
    state = torch.arange(2 * 2 * 3.0).view(2, 2, 3)
    swapped = reorder_rows(state, torch.tensor([1, 0, 2, 2], dtype=torch.int32))
    assert torch.equal(swapped, torch.stack([state[0].flip(0), state[1, :1].expand(2, 3)]))
