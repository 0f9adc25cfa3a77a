"""The program's graphs agree with each other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from neuron_whisper.graph import whisper
from neuron_whisper.graph.layers import PlainLayers
from neuron_whisper.graph.logit_processor import SpecialTokenIds
from tests.support.tiny_program import DIMS, SPECIAL, all_allowed, mel, parameters, spec

CONFIG = whisper.GraphConfig(DIMS, SpecialTokenIds.from_spec(spec()), 3)
LAYERS = PlainLayers(DIMS, {name: torch.from_numpy(value) for name, value in parameters().items()})
PROMPT = [SPECIAL.sot, SPECIAL.first_language, SPECIAL.transcribe]


@pytest.fixture(scope="module")
def cross() -> list[whisper.KVPair]:
    return whisper.encode(CONFIG, LAYERS, torch.from_numpy(mel()))


def prefill(cross: list[whisper.KVPair], tokens: list[int]) -> tuple[Tensor, Tensor, list[whisper.KVPair]]:
    """(top tokens, log-probabilities, fresh rows)."""
    prompt = whisper.PromptTensors(
        tokens=torch.tensor([tokens], dtype=torch.int32),
        sot_and_last=torch.tensor([0, len(tokens) - 1]),
        rules=torch.from_numpy(all_allowed(1)),
        suppression_bias=torch.zeros(1, DIMS.n_vocab),
    )
    _, _, top_tokens, logprobs, fresh = whisper.prefill(CONFIG, LAYERS, cross, prompt)
    return top_tokens, logprobs, fresh


def step_tensors(token: int, position: int) -> whisper.StepTensors:
    return whisper.StepTensors(
        tokens=torch.tensor([[token]], dtype=torch.int32),
        positions=torch.tensor([[position]]),
        rules=torch.from_numpy(all_allowed(1)),
        suppression_bias=torch.zeros(1, DIMS.n_vocab),
    )


def test_a_step_after_a_prompt_returns_what_the_longer_prompt_returns(cross: list[whisper.KVPair]) -> None:
    _, _, fresh = prefill(cross, PROMPT)
    past = [(k.unsqueeze(1), v.unsqueeze(1)) for k, v in fresh]  # (1, H, T, D) -> (S, B, H, C, D)
    top_tokens, logprobs, _ = whisper.decode(CONFIG, LAYERS, past, cross, step_tensors(11, 3))
    expected_tokens, expected_logprobs, _ = prefill(cross, [*PROMPT, 11])
    assert torch.equal(top_tokens, expected_tokens)
    torch.testing.assert_close(logprobs, expected_logprobs, atol=1e-4, rtol=0)


def test_decode_returns_the_best_of_what_logits_returns(cross: list[whisper.KVPair]) -> None:
    _, _, fresh = prefill(cross, PROMPT)
    past = [(k.unsqueeze(1), v.unsqueeze(1)) for k, v in fresh]
    top_tokens, logprobs, _ = whisper.decode(CONFIG, LAYERS, past, cross, step_tensors(11, 3))
    everything, _ = whisper.logits(CONFIG, LAYERS, past, cross, step_tensors(11, 3))
    best = everything.topk(3)
    assert torch.equal(top_tokens, best.indices.to(torch.int32))
    torch.testing.assert_close(logprobs, best.values)


def test_prompt_logits_are_those_that_the_prompts_top_tokens_come_from(cross: list[whisper.KVPair]) -> None:
    top_tokens, _, _ = prefill(cross, PROMPT)
    logits = whisper.prompt_logits(CONFIG, LAYERS, cross, torch.tensor([PROMPT]))
    assert torch.equal(top_tokens[0], logits[-1].topk(3).indices.to(torch.int32))


def test_a_shorter_window_is_repeated_to_the_full_length() -> None:
    half = torch.from_numpy(mel())[:, :, : DIMS.n_audio_ctx]
    short = whisper.encode(CONFIG, LAYERS, half, repeat_to_full=False)
    for (k, v), (full_k, full_v) in zip(short, whisper.encode(CONFIG, LAYERS, half), strict=True):
        assert torch.equal(full_k, torch.cat((k, k), 2))
        assert torch.equal(full_v, torch.cat((v, v), 2))


def test_window_lengths_mask_the_positions_behind_a_window(cross: list[whisper.KVPair]) -> None:
    _, _, fresh = prefill(cross, PROMPT)
    past = [(k.unsqueeze(1), v.unsqueeze(1)) for k, v in fresh]
    step, half = step_tensors(11, 3), DIMS.n_audio_ctx // 2
    cut = [(k[:, :, :half], v[:, :, :half]) for k, v in cross]
    masked = whisper.StepTensors(
        step.tokens, step.positions, step.rules, step.suppression_bias, window_lengths=torch.tensor([half])
    )
    expected, _ = whisper.logits(CONFIG, LAYERS, past, cut, step)
    found, _ = whisper.logits(CONFIG, LAYERS, past, cross, masked)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_alignment_weights_sum_to_one_over_the_audio(cross: list[whisper.KVPair]) -> None:
    weights = whisper.align(CONFIG, LAYERS, cross, torch.tensor([PROMPT]), [(0, 1), (1, 0)])
    assert weights.shape == (2, 3, DIMS.n_audio_ctx)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3))
