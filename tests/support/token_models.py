"""Random models that token decoders are run on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.decode.rules import apply_rules
from neuron_whisper.decode.token_decoders import (
    DecoderConfig,
    TokenDecoder,
    TokenSequence,
)
from neuron_whisper.decode.window_options import WindowOptions
from tests.support.tiny_program import DIMS, SPECIAL

PROMPT = [SPECIAL.sot, SPECIAL.first_language, SPECIAL.transcribe]


NOTHING_SUPPRESSED = np.zeros(DIMS.n_vocab, np.bool_)


Model = Callable[[list[int]], NDArray[np.float32]]


def random_model(seed: int, end_from: int = 3) -> Model:
    """Logits (V,) that are a fixed function of the tokens before; the end is likely from `end_from` tokens on."""

    def logits(tokens: list[int]) -> NDArray[np.float32]:
        rng = np.random.default_rng([seed, *tokens])
        made = rng.standard_normal(DIMS.n_vocab).astype(np.float32) * 2
        made[SPECIAL.eot] = 5.0 if len(tokens) >= end_from else -5.0
        return made

    return logits


def decoder_config(max_tokens: int = 12, **options: object) -> DecoderConfig:
    window = WindowOptions(language="en", task="transcribe", without_timestamps=True, **options)  # type: ignore[arg-type]
    return DecoderConfig(special=SPECIAL, options=window, max_tokens=max_tokens)


def run_decoder(
    decoder: TokenDecoder, model: Model, choices: int = 11, on_step: Callable[[], None] = lambda: None
) -> TokenSequence:
    """Drive a decoder as a window and a session would, each row with its own prefix; `on_step` is called before each
    step.
    """

    def compute_logprobs(prefix: list[int], rules: NDArray[np.int32]) -> NDArray[np.float32]:
        return apply_rules(model(prefix), rules, NOTHING_SUPPRESSED, SPECIAL)

    def best(rows: list[NDArray[np.float32]]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        tokens = np.stack([np.argsort(-row, kind="stable")[:choices] for row in rows]).astype(np.int32)
        return tokens, np.take_along_axis(np.stack(rows), tokens, 1)

    tokens, logprobs = best([compute_logprobs([], decoder.next_rules()[0])])
    decoder.begin(tokens[0], logprobs[0])
    pasts: list[list[int]] = [[] for _ in range(decoder.rows)]
    while decoder.best is None:
        on_step()
        fed, parents = decoder.next_tokens()
        if decoder.length == 0:
            pasts = [[] for _ in fed]
        else:
            pasts = [[*pasts[parent], token] for parent, token in zip(parents, fed, strict=True)]
        rows = [compute_logprobs(prefix, rules) for prefix, rules in zip(pasts, decoder.next_rules(), strict=True)]
        if decoder.needs_logits:
            decoder.receive_logits(np.stack(rows))
        else:
            decoder.receive(*best(rows))
    return decoder.best
