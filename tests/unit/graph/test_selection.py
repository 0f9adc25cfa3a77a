"""The k largest of a row by repetition are those of a stable descending sort, the lower id first among equals."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.graph.layers import LayerBackend, PlainLayers
from neuron_whisper.graph.logit_processor import split_vocab, token_ids
from neuron_whisper.graph.selection import select_largest
from tests.support.plain_bundle import OneRankLayers
from tests.support.tiny_program import DIMS


def stable_sort(values: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    sorted_values, ids = torch.sort(values, dim=-1, descending=True, stable=True)
    return sorted_values[..., :k], ids[..., :k].to(torch.int32)


def draw_values(rows: int, vocab: int, levels: int, seed: int) -> torch.Tensor:
    """(rows, vocab) of so few levels that many are equal."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, levels, (rows, vocab), generator=generator).float() - levels / 2


@given(
    rows=st.integers(1, 9),
    vocab=st.integers(40, 700),
    levels=st.integers(1, 40),
    seed=st.integers(0, 2**31),
    k=st.integers(1, 11),
    layers=st.sampled_from([PlainLayers(DIMS, {}), OneRankLayers(DIMS, {})]),
)
def test_every_backend_chooses_as_a_stable_sort_does(
    rows: int, vocab: int, levels: int, seed: int, k: int, layers: LayerBackend
) -> None:
    values = draw_values(rows, vocab, levels, seed)
    expected_values, expected_ids = stable_sort(values, k)
    blocks = split_vocab(values, layers.vocab_blocks(rows))
    ids = token_ids(*blocks.shape[1:])
    padded = torch.where(ids < vocab, blocks, -1e4)
    found, chosen = layers.top_k(padded, ids, k)
    assert torch.equal(found, expected_values)
    assert torch.equal(chosen, expected_ids)
    assert chosen.dtype == torch.int32


def test_equal_maxima_come_in_the_order_of_their_ids_wherever_they_lie() -> None:
    values = torch.tensor([[2.0, 5.0, 5.0, 1.0, 5.0]])
    found, chosen = select_largest(values, torch.tensor([[9, 7, 30, 4, 2]], dtype=torch.int32), 4)
    assert found.tolist() == [[5, 5, 5, 2]]
    assert chosen.tolist() == [[2, 7, 30, 9]]


def test_of_what_is_no_number_the_ids_are_still_ids() -> None:
    """A gather by an id that there is not reads what it may not."""
    values = torch.full((2, 300), float("nan"))
    for layers in (PlainLayers(DIMS, {}), OneRankLayers(DIMS, {})):
        blocks = split_vocab(values, layers.vocab_blocks(2))
        ids = token_ids(*blocks.shape[1:])
        _, chosen = layers.top_k(torch.where(ids < 300, blocks, -1e4), ids, 5)
        assert ((chosen >= 0) & (chosen < ids.numel())).all()
