"""The reference computes the same with every number of ranks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from neuron_whisper.model.dims import WhisperDims
from neuron_whisper.model.sharding import shard
from neuron_whisper.target.interfaces import ProgramSpec, StepInputs
from neuron_whisper.target.reference.session import ReferenceSession
from neuron_whisper.text.special_tokens import SpecialTokens
from tests.support.published_shapes import BASE, KOTOBA
from tests.support.tiny_program import all_allowed, mel, parameters, prefill_inputs


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
