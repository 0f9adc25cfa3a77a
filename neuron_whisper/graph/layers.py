"""LayerBackend: the operations of a program that use parameters, and PlainLayers, which runs them on plain tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from neuron_whisper.graph.selection import select_largest
from neuron_whisper.model.dims import WhisperDims
from neuron_whisper.model.sharding import pad_heads, pad_vocab
from neuron_whisper.target.interfaces import MASKED_LOGIT


class LayerBackend(Protocol):
    """A target's layers, by the checkpoint's names without `.weight`.

    `audio_heads` and `text_heads` are the attention heads of this rank, `vocab` the padded vocabulary.
    """

    audio_heads: int
    text_heads: int
    vocab: int

    def column(self, name: str, x: Tensor) -> Tensor:
        """(..., in) -> (..., out of this rank): the matrix's rows are split over ranks."""

    def row(self, name: str, x: Tensor) -> Tensor:
        """(..., in of this rank) -> (..., out): the matrix's columns are split, results are summed over ranks."""

    def norm(self, name: str, x: Tensor) -> Tensor:
        """Layer norm over the last axis, in float32."""

    def conv(self, name: str, x: Tensor, stride: int) -> Tensor:
        """1-d convolution of width 3, padding 1: (n, in, frames) -> (n, out, frames / stride)."""

    def parameter(self, name: str) -> Tensor:
        """A parameter that is not split over ranks, by its full name."""

    def embed(self, tokens: Tensor) -> Tensor:
        """(...) int -> (..., n_text_state) token embeddings."""

    def logits(self, x: Tensor) -> Tensor:
        """(..., n_text_state) -> (..., vocab) by the transposed embedding, in float32 or the type of x."""

    def attention(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The encoder's: scaled queries, keys and values (N, H, A, D) -> (N, H, A, D)."""

    def vocab_blocks(self, rows: int) -> int:
        """Blocks that a row of logits is split into, so that `rows` of them fill the device's lanes."""

    def top_k(self, values: Tensor, ids: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The k largest of (R, N, W), with their ids, of (1, N, W) int32 ascending: (R, k) float32 and int32.

        Descending; of equal values the lower id comes first.
        """


class PlainLayers:
    """LayerBackend on plain tensors of one rank.

    `parameters` are this rank's shards; `all_reduce` sums a tensor over the ranks (identity for one rank) and
    `all_gather` joins the ranks' tensors on the last axis.
    """

    def __init__(
        self,
        dims: WhisperDims,
        parameters: Mapping[str, Tensor],
        *,
        tp: int = 1,
        rank: int = 0,
        all_reduce: Callable[[Tensor], Tensor] = lambda x: x,
        all_gather: Callable[[Tensor], Tensor] = lambda x: x,
    ) -> None:
        self._parameters = parameters
        self._all_reduce, self._all_gather = all_reduce, all_gather
        self.audio_heads = pad_heads(dims.n_audio_head, tp) // tp
        self.text_heads = pad_heads(dims.n_text_head, tp) // tp
        self.vocab = pad_vocab(dims.n_vocab, tp)
        self._tp = tp
        self._vocab_start = rank * (self.vocab // tp)

    def column(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self._parameters[f"{name}.weight"], self._parameters.get(f"{name}.bias"))

    def row(self, name: str, x: Tensor) -> Tensor:
        out = self._all_reduce(F.linear(x, self._parameters[f"{name}.weight"]))
        return out + self._parameters[f"{name}.bias"]

    def norm(self, name: str, x: Tensor) -> Tensor:
        weight, bias = self._parameters[f"{name}.weight"], self._parameters[f"{name}.bias"]
        return F.layer_norm(x.float(), weight.shape, weight.float(), bias.float()).to(x.dtype)

    def conv(self, name: str, x: Tensor, stride: int) -> Tensor:
        weight, bias = self._parameters[f"{name}.weight"], self._parameters[f"{name}.bias"]
        return F.conv1d(x, weight, bias, stride=stride, padding=1)

    def parameter(self, name: str) -> Tensor:
        return self._parameters[name]

    def embed(self, tokens: Tensor) -> Tensor:
        table = self._parameters["decoder.token_embedding.weight"]
        if self._tp == 1:
            return F.embedding(tokens, table)
        local = tokens - self._vocab_start
        mine = (local >= 0) & (local < table.shape[0])
        rows = F.embedding(torch.where(mine, local, torch.zeros_like(local)), table)
        return self._all_reduce(torch.where(mine.unsqueeze(-1), rows, torch.zeros_like(rows)))

    def logits(self, x: Tensor) -> Tensor:
        projection = self._parameters.get("decoder.output_projection.weight")  # of a fine-tuned model alone
        if projection is None:
            projection = self._parameters["decoder.token_embedding.weight"]
        return self._all_gather(F.linear(x, projection).float())

    def attention(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, scale=1.0)

    def vocab_blocks(self, rows: int) -> int:
        return 1

    def top_k(self, values: Tensor, ids: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """As LayerBackend.top_k, among the k blocks of sqrt(V) with the largest maxima.

        A search of the whole vocabulary costs more than the rest of a decode step on a CPU; the k largest lie in
        these k blocks. `ids` are 0 to V - 1.
        """
        values = values.flatten(1)
        rows, vocab = values.shape
        side = math.isqrt(vocab - 1) + 1
        blocks = F.pad(values, (0, side * side - vocab), value=2 * MASKED_LOGIT).view(rows, side, side)
        inside = torch.arange(side, dtype=torch.int32)
        _, best = select_largest(blocks.amax(2), inside, min(k, side))  # (R, k) blocks
        found = torch.gather(blocks, 1, best.long().unsqueeze(2).expand(-1, -1, side))
        candidates = best.unsqueeze(2) * side + inside
        values, chosen = select_largest(found.flatten(1), candidates.flatten(1), k)
        return values, torch.clamp(chosen, max=vocab - 1)  # where values are no numbers, a block's padding is found
