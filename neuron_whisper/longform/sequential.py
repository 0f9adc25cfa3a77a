"""The sequential plan: one window at a time, each prompted with the text before it."""

from __future__ import annotations

from collections.abc import Sequence

from neuron_whisper.decode.window import DecodingResult, WindowRequest
from neuron_whisper.longform.plan import AwaitAction, Plan, SubmitAction, TranscriptSummary
from neuron_whisper.longform.region import ClipContext, PromptState, decode_region, with_id
from neuron_whisper.transcript import Segment


def decode_sequential(clip: ClipContext, prompt_state: PromptState, regions: Sequence[tuple[int, int]]) -> Plan:
    """openai/whisper's transcribe(): the stretches (first and last mel frame) in order, with one context."""
    count = ticket = 0
    begun = len(prompt_state.tokens)
    for start, end in regions:
        stretch = decode_region(clip, prompt_state, start, end)
        answer: DecodingResult | None = None
        while True:
            try:
                item = stretch.send(answer)
            except StopIteration:
                break
            answer = None
            match item:
                case WindowRequest():
                    yield SubmitAction(request_id=ticket, request=item)
                    got = yield AwaitAction(request_ids=frozenset((ticket,)))
                    assert got is not None, "a plan is sent what it awaits"
                    answer, ticket = got[1], ticket + 1
                case Segment():
                    yield with_id(item, count)
                    count += 1
                case _:
                    yield item
    yield TranscriptSummary(
        text=clip.tokenizer.decode(prompt_state.tokens[begun:]).strip(),
        language=prompt_state.language or "en",
        language_probability=prompt_state.language_probability,
    )
