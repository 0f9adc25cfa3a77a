"""The k largest values of each row without a sort: the maximum and its position, k times.

No accelerator sorts well, and a top-k of a library leaves open which of equal values it returns.
"""

from __future__ import annotations

import torch
from torch import Tensor

from neuron_whisper.target.interfaces import MASKED_LOGIT

REMOVED = 4 * MASKED_LOGIT  # below every logit, masked or suppressed or both


def select_largest(values: Tensor, ids: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """values (..., W) above REMOVED, ids (..., W) int32 of at least 0, each once in a row -> those of the k largest.

    (..., k) float32 and int32, descending; of equal values the lower id comes first. Where a value is no number, the
    results are any, of which the ids are some of `ids`.
    """
    removed = torch.full((), REMOVED, dtype=values.dtype)
    last = ids.amax(-1, keepdim=True)
    tops: list[Tensor] = []
    chosen: list[Tensor] = []
    for _ in range(k):
        if chosen:
            values = torch.where(ids == chosen[-1], removed, values)
        tops.append(values.amax(-1, keepdim=True))
        chosen.append(torch.where(values == tops[-1], ids, last).amin(-1, keepdim=True))
    return torch.cat(tops, -1), torch.cat(chosen, -1)


def select_largest_of_blocks(values: Tensor, ids: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """LayerBackend.top_k by the k largest of each block, then of those.

    Every pass over the vocabulary is one over R * N rows, as many as there are lanes.
    """
    rows, _, width = values.shape
    tops, chosen = select_largest(values, ids, min(k, width))
    return select_largest(tops.reshape(rows, -1), chosen.reshape(rows, -1), k)
