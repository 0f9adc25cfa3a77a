"""PlainLayers: the ranks' parts together are the whole layer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from neuron_whisper.graph.layers import PlainLayers
from neuron_whisper.model.sharding import shard
from tests.support.tiny_program import DIMS, parameters

PARAMETERS = parameters()


def rank_parameters(tp: int, rank: int) -> Mapping[str, Tensor]:
    return {
        name: torch.from_numpy(np.ascontiguousarray(shard(name, value, DIMS, tp, rank)))
        for name, value in PARAMETERS.items()
    }


@pytest.fixture(scope="module")
def ranks() -> tuple[PlainLayers, PlainLayers]:
    """Two ranks without collectives: each returns its own part."""
    first, second = (PlainLayers(DIMS, rank_parameters(2, rank), tp=2, rank=rank) for rank in range(2))
    return first, second


@pytest.fixture(scope="module")
def alone() -> PlainLayers:
    return PlainLayers(DIMS, rank_parameters(1, 0))


def test_a_column_layers_parts_are_joined(ranks: tuple[PlainLayers, PlainLayers], alone: PlainLayers) -> None:
    x, name = torch.randn(3, DIMS.n_text_state), "decoder.blocks.0.mlp.0"
    joined = torch.cat([rank.column(name, x) for rank in ranks], -1)
    torch.testing.assert_close(joined, alone.column(name, x))


def test_a_row_layers_parts_are_summed_and_its_bias_is_added_once(
    ranks: tuple[PlainLayers, PlainLayers], alone: PlainLayers
) -> None:
    x, name = torch.randn(3, 4 * DIMS.n_text_state), "decoder.blocks.0.mlp.2"
    first, second = (rank.row(name, part) for rank, part in zip(ranks, x.chunk(2, -1), strict=True))
    torch.testing.assert_close(first + second - alone.parameter(f"{name}.bias"), alone.row(name, x), atol=1e-4, rtol=0)


def test_a_token_is_embedded_by_the_rank_that_has_its_row(
    ranks: tuple[PlainLayers, PlainLayers], alone: PlainLayers
) -> None:
    tokens = torch.tensor([0, 5, DIMS.n_vocab - 1])
    first, second = (rank.embed(tokens) for rank in ranks)
    torch.testing.assert_close(first + second, alone.embed(tokens))
    assert first[2].count_nonzero() == second[0].count_nonzero() == 0


def test_logits_are_joined_over_the_padded_vocabulary(
    ranks: tuple[PlainLayers, PlainLayers], alone: PlainLayers
) -> None:
    x = torch.randn(2, DIMS.n_text_state)
    joined = torch.cat([rank.logits(x) for rank in ranks], -1)
    assert joined.shape == (2, ranks[0].vocab)
    torch.testing.assert_close(joined[:, : DIMS.n_vocab], alone.logits(x)[:, : DIMS.n_vocab])
