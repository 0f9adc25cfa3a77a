"""The batched plan: runs of speech decode side by side, with every gate, timestamps, and text as a prompt within a run.

What fails a gate climbs the ladder in its slot, and what a window leaves over at its end is decoded in a window of its
own. A window without the text before it spells and punctuates anew what stood there: so a few stretches in a row
are decoded one after another, each run beside the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from neuron_whisper.decode.window import DecodingResult, WindowRequest
from neuron_whisper.longform.plan import AwaitAction, Plan, SubmitAction, TranscriptSummary
from neuron_whisper.longform.region import ClipContext, PromptState, RegionDecoder, decode_region, with_id
from neuron_whisper.transcript import Segment, SkippedRegion

GROUP_SIZE = 4  # stretches that are decoded one after another: two minutes; more than two said no more than that


@dataclass(slots=True, kw_only=True)
class _RegionGroup:
    """A run on its way: what it has said so far, in order."""

    prompt_state: PromptState
    decoder: RegionDecoder
    emitted: deque[Segment | SkippedRegion] = field(default_factory=deque)
    is_done: bool = False

    def advance(self, result: DecodingResult | None) -> WindowRequest | None:
        """Run to the next window it wants, None at its end."""
        while True:
            try:
                item = self.decoder.send(result)
            except StopIteration:
                self.is_done = True
                return None
            result = None
            if isinstance(item, WindowRequest):
                return item
            self.emitted.append(item)


def group_regions(regions: Sequence[tuple[int, int]], max_size: int) -> Iterator[Sequence[tuple[int, int]]]:
    """As few runs as there can be of at most `max_size` stretches, none longer than another by more than one."""
    n_runs = -(-len(regions) // max_size)
    for number in range(n_runs):
        yield regions[number * len(regions) // n_runs : (number + 1) * len(regions) // n_runs]


def _decode_group(clip: ClipContext, prompt_state: PromptState, group: Sequence[tuple[int, int]]) -> RegionDecoder:
    for start, end in group:
        yield from decode_region(clip, prompt_state, start, end)


def decode_batched(
    clip: ClipContext, prompt_state: PromptState, regions: Sequence[tuple[int, int]], *, concurrency: int
) -> Plan:
    """The stretches (first and last mel frame), up to `concurrency` at once; segments come out in their order.

    Where text before is to be a prompt, they go in runs of up to RUN; else each is for itself. The language is that of
    the first stretch, unless it was given or is detected in every window.
    """
    options = clip.options
    lanes: deque[_RegionGroup] = deque()
    waiting = deque(group_regions(regions, GROUP_SIZE if options.condition_on_previous_text else 1))
    running: dict[int, _RegionGroup] = {}
    ticket = count = 0
    texts: list[int] = []
    knows_language = prompt_state.language is not None or options.multilingual
    while waiting or lanes:
        while waiting and len(running) < concurrency and (knows_language or not lanes):
            run = waiting.popleft()
            own = PromptState(
                language=prompt_state.language,
                tokens=list(prompt_state.initial_tokens),
                initial_tokens=prompt_state.initial_tokens,
                is_first=prompt_state.is_first,
                last_speech_s=run[0][0] / 100,
            )
            prompt_state.is_first = False
            lane = _RegionGroup(prompt_state=own, decoder=_decode_group(clip, own, run))
            lanes.append(lane)
            if (ask := lane.advance(None)) is not None:
                yield SubmitAction(request_id=ticket, request=ask)
                running[ticket], ticket = lane, ticket + 1
        if running:
            got = yield AwaitAction(request_ids=frozenset(running))
            assert got is not None, "a plan is sent what it awaits"
            lane = running.pop(got[0])
            ask = lane.advance(got[1])
            if not knows_language and lane.prompt_state.language is not None:
                prompt_state.language = lane.prompt_state.language
                prompt_state.language_probability = lane.prompt_state.language_probability
                knows_language = True
            if ask is not None:
                yield SubmitAction(request_id=ticket, request=ask)
                running[ticket], ticket = lane, ticket + 1
        while lanes and (lanes[0].emitted or lanes[0].is_done):
            if not lanes[0].emitted:
                lanes.popleft()
                continue
            item = lanes[0].emitted.popleft()
            if isinstance(item, Segment):
                item = with_id(item, count)
                count += 1
                texts += item.tokens
            yield item
    yield TranscriptSummary(
        text=clip.tokenizer.decode(texts).strip(),
        language=prompt_state.language or "en",
        language_probability=prompt_state.language_probability,
        long_form="batched",
    )
