"""Small programs with seeded random weights, for tests that need a real model but not its words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.decode.rules import ALLOW_ALL_RULES
from neuron_whisper.model.dims import WhisperDims
from neuron_whisper.model.parameters import expected_shapes
from neuron_whisper.target.interfaces import PrefillInputs, ProgramSpec
from neuron_whisper.text.special_tokens import N_TIMESTAMPS, SpecialTokens

TEXT_TOKENS = 90
SPECIAL = SpecialTokens.from_layout(eot=TEXT_TOKENS, n_languages=5, blank=7, is_multilingual=True)
DIMS = WhisperDims(
    n_mels=80,
    n_audio_ctx=24,
    n_audio_state=128,
    n_audio_head=2,
    n_audio_layer=2,
    n_vocab=SPECIAL.timestamp_begin + N_TIMESTAMPS,
    n_text_ctx=48,
    n_text_state=128,
    n_text_head=2,
    n_text_layer=2,
)


def spec(*, slots: int = 3, beams: int = 2, dims: WhisperDims = DIMS, special: SpecialTokens = SPECIAL) -> ProgramSpec:
    return ProgramSpec(
        dims=dims,
        special=special,
        slots=slots,
        beams=beams,
        encode_batch=min(2, slots),
        prompt_buckets=(4, 16),
        text_context=dims.n_text_ctx,
        choices=2 * beams + 1,
        align_buckets=(16,),
        alignment_heads=((0, 1), (1, 0)),
    )


def parameters(dims: WhisperDims = DIMS, seed: int = 0, *, gain: float = 3.0) -> dict[str, NDArray[np.float32]]:
    """Weights scaled so that every part of the network moves the answer, and greedy decoding does not just repeat."""
    rng = np.random.default_rng(seed)
    made: dict[str, NDArray[np.float32]] = {}
    for name, shape in expected_shapes(dims).items():
        values = rng.standard_normal(shape).astype(np.float32)
        if name.endswith(("ln.weight", "ln_post.weight")):
            values = 1 + 0.1 * values
        elif len(shape) > 1 and "embedding" not in name:
            values *= gain / np.sqrt(np.prod(shape[1:]))
        elif name == "decoder.token_embedding.weight":
            values *= 2.5 / np.sqrt(shape[1])
        elif name != "decoder.positional_embedding":
            values *= 0.2
        made[name] = values
    return made


def mel(n: int = 1, *, dims: WhisperDims = DIMS, seed: int = 1) -> NDArray[np.float32]:
    """(n, n_mels, frames) of noise."""
    return np.random.default_rng(seed).standard_normal((n, dims.n_mels, dims.n_frames)).astype(np.float32)


def nothing_suppressed(dims: WhisperDims = DIMS) -> NDArray[np.bool_]:
    return np.zeros(dims.n_vocab, np.bool_)


def all_allowed(rows: int | None = None) -> NDArray[np.int32]:
    """A rules row, or a matrix of them."""
    return ALLOW_ALL_RULES.copy() if rows is None else np.tile(ALLOW_ALL_RULES, (rows, 1))


def prefill_inputs(
    prompt: NDArray[np.int32],
    *,
    sot_index: int = 0,
    suppressed: NDArray[np.bool_] | None = None,
    beams: int = 1,
    dims: WhisperDims = DIMS,
) -> PrefillInputs:
    """The prompt with every token allowed, but the suppressed ones."""
    return PrefillInputs(
        prompt=prompt,
        sot_index=sot_index,
        rules=all_allowed(),
        suppressed=nothing_suppressed(dims) if suppressed is None else suppressed,
        beams=beams,
    )
