"""The batched plan: runs of speech decode side by side, with every gate, timestamps, and text as a prompt within a run.

What fails a gate climbs the ladder in its slot, and what a window leaves over at its end is decoded in a window of its
own. A window without the text before it spells and punctuates anew what stood there: so a few stretches in a row
are decoded one after another, each run beside the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from neuron_whisper.decode.window import Hypothesis, WindowAsk
from neuron_whisper.longform.plan import Await, Outcome, Plan, Submit
from neuron_whisper.longform.region import Context, Hearing, Stretch, decode_stretch, numbered
from neuron_whisper.transcript import Dropped, Segment

RUN = 4  # stretches that are decoded one after another: two minutes; more than two said no more than that


@dataclass(slots=True, kw_only=True)
class _Lane:
    """A run on its way: what it has said so far, in order."""

    context: Context
    stretch: Stretch
    said: deque[Segment | Dropped] = field(default_factory=deque)
    is_done: bool = False

    def advance(self, answer: Hypothesis | None) -> WindowAsk | None:
        """Run to the next window it wants, None at its end."""
        while True:
            try:
                item = self.stretch.send(answer)
            except StopIteration:
                self.is_done = True
                return None
            answer = None
            if isinstance(item, WindowAsk):
                return item
            self.said.append(item)


def runs(stretches: Sequence[tuple[int, int]], longest: int) -> Iterator[Sequence[tuple[int, int]]]:
    """As few runs as there can be of at most `longest` stretches, none longer than another by more than one."""
    n_runs = -(-len(stretches) // longest)
    for number in range(n_runs):
        yield stretches[number * len(stretches) // n_runs : (number + 1) * len(stretches) // n_runs]


def _decode_run(hearing: Hearing, context: Context, run: Sequence[tuple[int, int]]) -> Stretch:
    for start, end in run:
        yield from decode_stretch(hearing, context, start, end)


def batched(hearing: Hearing, context: Context, stretches: Sequence[tuple[int, int]], *, width: int) -> Plan:
    """The stretches (first and last mel frame), up to `width` at once; segments come out in their order.

    Where text before is to be a prompt, they go in runs of up to RUN; else each is for itself. The language is that of
    the first stretch, unless it was given or is detected in every window.
    """
    options = hearing.options
    lanes: deque[_Lane] = deque()
    waiting = deque(runs(stretches, RUN if options.condition_on_previous_text else 1))
    running: dict[int, _Lane] = {}
    ticket = count = 0
    texts: list[int] = []
    knows_language = context.language is not None or options.multilingual
    while waiting or lanes:
        while waiting and len(running) < width and (knows_language or not lanes):
            run = waiting.popleft()
            own = Context(
                language=context.language,
                tokens=list(context.initial),
                initial=context.initial,
                is_first=context.is_first,
                last_speech_s=run[0][0] / 100,
            )
            context.is_first = False
            lane = _Lane(context=own, stretch=_decode_run(hearing, own, run))
            lanes.append(lane)
            if (ask := lane.advance(None)) is not None:
                yield Submit(ticket=ticket, ask=ask)
                running[ticket], ticket = lane, ticket + 1
        if running:
            got = yield Await(tickets=frozenset(running))
            assert got is not None, "a plan is sent what it awaits"
            lane = running.pop(got[0])
            ask = lane.advance(got[1])
            if not knows_language and lane.context.language is not None:
                context.language = lane.context.language
                context.language_probability = lane.context.language_probability
                knows_language = True
            if ask is not None:
                yield Submit(ticket=ticket, ask=ask)
                running[ticket], ticket = lane, ticket + 1
        while lanes and (lanes[0].said or lanes[0].is_done):
            if not lanes[0].said:
                lanes.popleft()
                continue
            item = lanes[0].said.popleft()
            if isinstance(item, Segment):
                item = numbered(item, count)
                count += 1
                texts += item.tokens
            yield item
    yield Outcome(
        text=hearing.tokenizer.decode(texts).strip(),
        language=context.language or "en",
        language_probability=context.language_probability,
        long_form="batched",
    )
