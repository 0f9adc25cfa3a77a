"""Tensor parallelism: the table shards and joins without loss, and every tp computes the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.errors import InvalidOption
from neuron_whisper.model.dims import WhisperDims
from neuron_whisper.model.parameters import expected_shapes
from neuron_whisper.model.sharding import Split, check_tp, get_split, pad_heads, pad_vocab, shard, unshard
from neuron_whisper.target.interfaces import ProgramSpec, StepInputs
from neuron_whisper.target.reference.session import ReferenceSession
from neuron_whisper.text.special_tokens import SpecialTokens
from tests.support.tiny_program import all_allowed, mel, parameters, prefill_inputs

# The shapes of the published models, with as few encoder layers as show the arithmetic.
BASE = WhisperDims(
    n_mels=80,
    n_audio_ctx=1500,
    n_audio_state=512,
    n_audio_head=8,
    n_audio_layer=2,
    n_vocab=51865,
    n_text_ctx=448,
    n_text_state=512,
    n_text_head=8,
    n_text_layer=6,
)
KOTOBA = WhisperDims(
    n_mels=128,
    n_audio_ctx=1500,
    n_audio_state=1280,
    n_audio_head=20,
    n_audio_layer=1,
    n_vocab=51866,
    n_text_ctx=448,
    n_text_state=1280,
    n_text_head=20,
    n_text_layer=2,
)


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
    for name, shape in expected_shapes(dims).items():
        whole = rng.standard_normal(shape).astype(np.float32)
        parts = [shard(name, whole, dims, tp, rank) for rank in range(tp)]
        assert len({part.shape for part in parts}) == 1, "every rank runs the same graph"
        np.testing.assert_array_equal(unshard(name, parts, dims), whole)


def program(dims: WhisperDims) -> ProgramSpec:
    return ProgramSpec(
        dims=dims,
        special=SpecialTokens.from_vocab_size(dims.n_vocab),
        slots=2,
        beams=1,
        encode_batch=1,
        prompt_buckets=(4,),
        text_context=16,
        choices=5,
        align_buckets=(16,),
        alignment_heads=((0, 0), (1, dims.n_text_head - 1)),
    )


@pytest.mark.parametrize("dims", [BASE, KOTOBA], ids=["base", "kotoba"])
def test_every_tp_gives_the_same_tokens_and_logits(dims: WhisperDims) -> None:
    weights = parameters(dims, gain=1.0)  # logits of the size that trained weights give
    spec = program(dims)
    prompt = np.array([spec.special.sot, spec.special.first_language, spec.special.transcribe], np.int32)
    torch.set_num_threads(2)
    answers = {}
    for tp in (1, 2, 4, 8):
        ranks = [
            {
                name: torch.from_numpy(np.ascontiguousarray(shard(name, value, dims, tp, rank)))
                for name, value in weights.items()
            }
            for rank in range(tp)
        ]
        session = ReferenceSession(spec, ranks)
        session.encode([1], mel(1, dims=dims))
        best = session.prefill(1, prefill_inputs(prompt, dims=dims)).top_tokens
        tokens = [int(best.tokens[0, 0])]
        for position in range(3, 8):
            step = StepInputs(
                tokens=np.array([0, tokens[-1]], np.int32),
                positions=np.array([0, position], np.int32),
                parents=np.zeros(2, np.int32),
                rules=all_allowed(2),
                active=np.array([False, True]),
            )
            best = session.decode(step)
            tokens.append(int(best.tokens[1, 0]))
        history = np.array([*prompt, *tokens], np.int32)
        answers[tp] = (tokens, session.prompt_logits(1, history), session.align(1, history))
        session.close()
    tokens, logits, weights_of_1 = answers[1]
    assert logits.std() > 0.5, "the weights must move the answer"
    for tp in (2, 4, 8):
        assert answers[tp][0] == tokens
        np.testing.assert_allclose(answers[tp][1], logits, atol=1e-4)
        np.testing.assert_allclose(answers[tp][2], weights_of_1, atol=1e-5)


def test_a_rank_that_fails_does_not_leave_the_others_waiting(tmp_path: Path) -> None:
    weights = parameters(BASE)
    broken = [
        {
            name: torch.from_numpy(np.ascontiguousarray(shard(name, value, BASE, 2, rank)))
            for name, value in weights.items()
        }
        for rank in range(2)
    ]
    del broken[1]["encoder.blocks.0.mlp.0.weight"]
    session = ReferenceSession(program(BASE), broken)
    with pytest.raises((KeyError, RuntimeError)):
        session.encode([0], mel(1, dims=BASE))
    session.close()
