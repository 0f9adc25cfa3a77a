"""ReferenceSession: ranks exchange tensors; tests/integration/test_session_contract.py runs the contract on it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import BrokenBarrierError

import pytest
import torch

from neuron_whisper.errors import DeviceError
from neuron_whisper.target.reference.session import Collectives, ReferenceSession
from tests.support.session_steps import PROMPT, encode_and_prefill
from tests.support.tiny_program import mel, parameters, spec


def test_every_rank_gets_the_sum_and_the_joined_parts() -> None:
    collectives, parts = Collectives(3), [torch.tensor([1.0, 2.0]) * rank for rank in range(3)]

    def run(rank: int) -> tuple[list[float], list[float]]:
        total = collectives.all_reduce(rank, parts[rank])
        return total.tolist(), collectives.all_gather(rank, parts[rank]).tolist()

    with ThreadPoolExecutor(3) as ranks:
        results = list(ranks.map(run, range(3)))
    assert results == [([3.0, 6.0], [0.0, 0.0, 1.0, 2.0, 2.0, 4.0])] * 3


def test_a_rank_that_waits_for_a_failed_one_fails_too() -> None:
    collectives = Collectives(2)
    with ThreadPoolExecutor(1) as rank:
        waiting = rank.submit(collectives.all_reduce, 0, torch.zeros(1))
        collectives.abort()
        with pytest.raises(BrokenBarrierError):
            waiting.result(30)


def test_the_prompts_logits_lead_to_its_top_tokens() -> None:
    session = ReferenceSession(spec(), [{name: torch.from_numpy(value) for name, value in parameters().items()}])
    top_tokens = encode_and_prefill(session, 0).top_tokens
    logits = session.prompt_logits(0, PROMPT)
    assert logits[-1].argsort()[::-1][: session.spec.choices].tolist() == top_tokens.tokens[0].tolist()
    session.close()
    with pytest.raises(DeviceError, match="closed"):
        session.encode([0], mel(1))
