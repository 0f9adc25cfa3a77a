"""The sequential plan: one window at a time, each prompted with the text before it."""

from __future__ import annotations

from collections.abc import Sequence

from neuron_whisper.decode.window import Hypothesis, WindowAsk
from neuron_whisper.longform.plan import Await, Outcome, Plan, Submit
from neuron_whisper.longform.region import Context, Hearing, decode_stretch, numbered
from neuron_whisper.transcript import Segment


def sequential(hearing: Hearing, context: Context, stretches: Sequence[tuple[int, int]]) -> Plan:
    """openai/whisper's transcribe(): the stretches (first and last mel frame) in order, with one context."""
    count = ticket = 0
    begun = len(context.tokens)
    for start, end in stretches:
        stretch = decode_stretch(hearing, context, start, end)
        answer: Hypothesis | None = None
        while True:
            try:
                item = stretch.send(answer)
            except StopIteration:
                break
            answer = None
            match item:
                case WindowAsk():
                    yield Submit(ticket=ticket, ask=item)
                    got = yield Await(tickets=frozenset((ticket,)))
                    assert got is not None, "a plan is sent what it awaits"
                    answer, ticket = got[1], ticket + 1
                case Segment():
                    yield numbered(item, count)
                    count += 1
                case _:
                    yield item
    yield Outcome(
        text=hearing.tokenizer.decode(context.tokens[begun:]).strip(),
        language=context.language or "en",
        language_probability=context.language_probability,
    )
