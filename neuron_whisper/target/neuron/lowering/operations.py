"""Operations as a NeuronCore wants them, that need nothing of NxD: attention, the choice of tokens, rows of K/V."""

from __future__ import annotations

import torch
from torch import Tensor

from neuron_whisper.graph.selection import select_largest_of_blocks

PARTITIONS = 128  # lanes of an engine: as many rows are worked on at once (aws-neuron, NeuronCore-v2 architecture)


class PartitionedOperations:
    """The part of a LayerBackend that computes without parameters."""

    def attention(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Both products in the type of q: scaled_dot_product_attention computes them in float32 on XLA devices."""
        weights = torch.softmax((q @ k.transpose(2, 3)).float(), -1)
        return weights.to(q.dtype) @ v

    def vocab_blocks(self, rows: int) -> int:
        return max(1, PARTITIONS // rows)

    def top_k(self, values: Tensor, ids: Tensor, k: int) -> tuple[Tensor, Tensor]:
        return select_largest_of_blocks(values, ids, k)

    def put_rows(self, state: Tensor, at: Tensor, rows: Tensor) -> Tensor:
        """state (N, ...) with its rows `at` (R,) int32 replaced by `rows` (R, ...), cast to its type."""
        return state.index_put((at,), rows.to(state.dtype))


def flat_positions(positions: Tensor, length: int) -> Tensor:
    """Positions (...) in as many rows of `length` each -> their places when these lie one behind the other, flat."""
    first = torch.arange(positions.numel(), dtype=torch.int32) * torch.full((), length, dtype=torch.int32)
    return first + positions.reshape(-1)


def reorder_rows(state: Tensor, at: Tensor) -> Tensor:
    """state (S, B, ...) with its rows, slot * B + beam, taken from `at` (S * B,) int32."""
    return state.flatten(0, 1).index_select(0, at).view_as(state)
