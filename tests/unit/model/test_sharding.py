"""Tensor parallelism: the table shards and joins without loss, and every tp computes the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.errors import InvalidOption
from neuron_whisper.model.dims import WhisperDims
from neuron_whisper.model.parameters import OUTPUT_PROJECTION, expected_shapes
from neuron_whisper.model.sharding import Split, check_tp, get_split, pad_heads, pad_vocab, shard, unshard
from tests.support.published_shapes import BASE


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("encoder.conv1.weight", Split.REPLICATED),
        ("encoder.blocks.0.attn.query.weight", Split.COLUMN),
        ("encoder.blocks.0.attn.query.bias", Split.COLUMN),
        ("decoder.blocks.1.cross_attn.out.weight", Split.ROW),
        ("decoder.blocks.1.cross_attn.out.bias", Split.REPLICATED),
        ("decoder.blocks.1.mlp.0.bias", Split.COLUMN),
        ("decoder.blocks.1.mlp.2.weight", Split.ROW),
        ("decoder.blocks.1.mlp_ln.weight", Split.REPLICATED),
        ("decoder.token_embedding.weight", Split.VOCAB),
        ("decoder.positional_embedding", Split.REPLICATED),
    ],
)
def test_the_table_says_how_a_parameter_is_split(name: str, split: Split) -> None:
    assert get_split(name) is split


def test_heads_and_vocabulary_are_padded_to_a_multiple_of_tp() -> None:
    assert [pad_heads(20, tp) for tp in (1, 2, 4, 8)] == [20, 20, 20, 24]
    assert [pad_vocab(51866, tp) for tp in (1, 2, 4, 8)] == [51866, 51866, 51868, 51872]


def test_a_tp_that_does_not_fit_is_refused_with_what_does() -> None:
    with pytest.raises(InvalidOption, match=r"tp: 3 is not allowed; a divisor of 2048 .* at most 8"):
        check_tp(BASE, 3)
    with pytest.raises(InvalidOption, match="tp: 16"):
        check_tp(BASE, 16)


dims = st.builds(
    lambda heads, layers, vocab: WhisperDims(
        n_mels=80,
        n_audio_ctx=8,
        n_audio_state=8 * heads,
        n_audio_head=heads,
        n_audio_layer=1,
        n_vocab=vocab,
        n_text_ctx=8,
        n_text_state=8 * heads,
        n_text_head=heads,
        n_text_layer=layers,
    ),
    st.integers(1, 6),
    st.integers(1, 2),
    st.integers(20, 40),
)


@given(dims, st.sampled_from([1, 2, 4, 8]), st.integers(0, 2**31))
def test_unshard_is_the_inverse_of_shard(dims: WhisperDims, tp: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    own_projection = {OUTPUT_PROJECTION: (dims.n_vocab, dims.n_text_state)}
    for name, shape in (expected_shapes(dims) | own_projection).items():
        whole = rng.standard_normal(shape).astype(np.float32)
        parts = [shard(name, whole, dims, tp, rank) for rank in range(tp)]
        assert len({part.shape for part in parts}) == 1, "every rank runs the same graph"
        np.testing.assert_array_equal(unshard(name, parts, dims), whole)
