"""Random token draw_histories, options and logits that Whisper's rules are tested on."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from neuron_whisper.decode.window_options import WindowOptions
from tests.support.tiny_program import DIMS, SPECIAL

BEGIN = SPECIAL.timestamp_begin


@st.composite
def draw_histories(draw: st.DrawFn) -> list[int]:
    """Tokens as Whisper may have sampled them: text, and timestamps that never go back."""
    time = draw(st.integers(0, 60))
    tokens: list[int] = []
    for _ in range(draw(st.integers(0, 7))):
        if draw(st.booleans()):
            tokens.append(draw(st.integers(0, SPECIAL.eot - 1)))
        else:
            time = min(time + draw(st.integers(0, 30)), 1500)
            tokens.append(BEGIN + time)
    return tokens


window_options = st.builds(
    WindowOptions,
    language=st.just("en"),
    task=st.just("transcribe"),
    suppress_blank=st.booleans(),
    without_timestamps=st.booleans(),
    max_initial_timestamp_s=st.sampled_from([None, 0.0, 1.0, 30.0]),
    suppress_tokens=st.frozensets(st.integers(0, SPECIAL.no_timestamps - 1), max_size=8).map(
        lambda s: s - {SPECIAL.eot}
    ),
)


def random_logits(seed: int, lift: float) -> NDArray[np.float32]:
    """Logits whose timestamps together are about as likely as the best text, so that the mass rule goes both ways."""
    logits = np.random.default_rng(seed).standard_normal(DIMS.n_vocab).astype(np.float32) * 2
    logits[BEGIN:] += np.float32(lift)
    return logits
