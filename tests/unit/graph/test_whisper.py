"""The program's graphs agree with each other."""

from __future__ import annotations

from dataclasses import replace

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


LONG = replace(DIMS, n_audio_ctx=100)
LONG_CONFIG = whisper.GraphConfig(LONG, SpecialTokenIds.from_spec(spec(dims=LONG)), 3)
LONG_PARAMETERS = {name: torch.from_numpy(value) for name, value in parameters(LONG).items()}


def window_of(frames: int, seed: int = 1) -> Tensor:
    window = torch.from_numpy(mel(dims=LONG, seed=seed))
    window[..., frames:] = 0
    return window


def add_padding(*windows: tuple[Tensor, int]) -> PlainLayers:
    padding = whisper.find_padding(LONG_CONFIG, PlainLayers(LONG, LONG_PARAMETERS), windows)
    assert set(padding).isdisjoint(LONG_PARAMETERS)
    return PlainLayers(LONG, LONG_PARAMETERS | padding)


@pytest.mark.parametrize("computed", [40, 41, 77, 99])
def test_with_a_windows_own_padding_its_cross_attention_is_that_of_the_whole_window(computed: int) -> None:
    window = window_of(30)  # padding is known from 15 + 25 positions on
    layers = add_padding((window, 30))
    whole = whisper.encode(LONG_CONFIG, layers, window)
    for ours, theirs in zip(whisper.encode_audio(LONG_CONFIG, layers, window[..., : 2 * computed]), whole, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-4)


def test_windows_are_encoded_together_as_alone() -> None:
    layers = add_padding((window_of(30), 30))
    both = torch.cat((window_of(20, 1), window_of(20, 2)))[..., :60]
    together = whisper.encode_audio(LONG_CONFIG, layers, both)
    for i in range(2):
        for a, b in zip(together, whisper.encode_audio(LONG_CONFIG, layers, both[i : i + 1]), strict=True):
            torch.testing.assert_close(a[0][i : i + 1], b[0], atol=1e-4, rtol=1e-4)


def test_padding_is_the_mean_of_the_windows_that_have_it_and_before_them_that_of_the_first_position() -> None:
    layers, windows = PlainLayers(LONG, LONG_PARAMETERS), [(window_of(30, 1), 30), (window_of(60, 2), 60)]
    first, second, both = (whisper.find_padding(LONG_CONFIG, layers, it) for it in (windows[:1], windows[1:], windows))
    assert len(both) == 2 * (LONG.n_audio_layer + LONG.n_text_layer)
    for name, values in both.items():
        assert values.shape == (100, 128)
        assert torch.equal(values[40:55], first[name][40:55])
        torch.testing.assert_close(values[55:], (first[name][55:] + second[name][55:]) / 2)
        assert torch.equal(values[:40], first[name][40].expand(40, -1))
