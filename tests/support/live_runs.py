"""Live sessions run_actions to their end on scripted results."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from neuron_whisper.decode.window import DecodingResult
from neuron_whisper.live import (
    LiveOptions,
    LiveStateMachine,
)
from neuron_whisper.live.state_machine import Action, CancelAction, DecodeAction
from tests.support.live_speech import (
    derive_text,
    make_decoding_result,
    make_state_machine,
)

cuts = st.lists(st.integers(200, 40_000), min_size=1, max_size=12)


FEW_EXAMPLES = settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow], phases=[Phase.explicit, Phase.generate]
)


def run_actions(
    live: LiveStateMachine, actions: list[Action], answer: Callable[[DecodeAction], DecodingResult | Exception]
) -> list[Action]:
    """Answer every request_action at once; returns what was events."""
    events: list[Action] = []
    queue = list(actions)
    while queue:
        action = queue.pop(0)
        if isinstance(action, DecodeAction):
            result = answer(action)
            if isinstance(result, Exception):
                queue += live.fail(action.request_id, result)
            else:
                queue += live.receive(action.request_id, result)
        elif not isinstance(action, CancelAction):
            events.append(action)
    return events


def decode_to_own_text(request_action: DecodeAction) -> DecodingResult:
    if request_action.is_partial:
        return make_decoding_result(derive_text(request_action.request))
    return make_decoding_result(
        derive_text(request_action.request), until_s=min(29.0, max(0.1, request_action.request.frames / 100))
    )


def cut_samples(samples: NDArray[np.float32], lengths: list[int]) -> list[NDArray[np.float32]]:
    """The samples cut at the lengths, over and over."""
    found, at, n = [], 0, 0
    while at < len(samples):
        length = lengths[n % len(lengths)]
        found.append(samples[at : at + length])
        at, n = at + length, n + 1
    return found


def transcribe_live(
    samples: NDArray[np.float32],
    lengths: list[int],
    options: LiveOptions | None = None,
    answer: Callable[[DecodeAction], DecodingResult | Exception] = decode_to_own_text,
) -> list[Action]:
    live = make_state_machine(options)
    events: list[Action] = []
    for piece in cut_samples(samples, lengths):
        events += run_actions(live, live.feed(piece), answer)
    return events + run_actions(live, live.finish(), answer)
