"""The batched plan: groups of speech regions decode in parallel, each group prompted with its own previous text.

Temperature fallback and timestamps work as in the sequential plan: a rejected window is decoded again in its slot, and
audio that a window did not cover is decoded with the speech behind it. A window decoded without the text before it
spells and punctuates differently, so a few consecutive regions form a group that is decoded in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from neuron_whisper.audio.clip import FRAMES_PER_SECOND, WINDOW_FRAMES
from neuron_whisper.audio.speech import MAX_GAP_S
from neuron_whisper.decode.window import DecodingResult, WindowRequest
from neuron_whisper.longform.clip_context import ClipContext, PromptState
from neuron_whisper.longform.plan import AwaitAction, Plan, SubmitAction, TranscriptSummary
from neuron_whisper.longform.region import MIN_REMAINDER_S, RegionDecoder, decode_window
from neuron_whisper.longform.window_result import with_id
from neuron_whisper.transcript import Segment, SkippedRegion

GROUP_SIZE = 4  # regions decoded in order: two minutes; longer groups gave no better text


@dataclass(slots=True, kw_only=True)
class _RegionGroup:
    """A group being decoded; `emitted` holds its items that were not yielded yet, in order."""

    prompt_state: PromptState
    decoder: RegionDecoder
    emitted: deque[Segment | SkippedRegion] = field(default_factory=deque)
    is_done: bool = False

    def advance(self, result: DecodingResult | None) -> WindowRequest | None:
        """Runs to the next window to decode; None at its end."""
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
    """Splits regions into the fewest groups of at most `max_size`, whose sizes differ by at most one."""
    n_groups = -(-len(regions) // max_size)
    for index in range(n_groups):
        yield regions[index * len(regions) // n_groups : (index + 1) * len(regions) // n_groups]


def _decode_group(clip: ClipContext, prompt_state: PromptState, group: Sequence[tuple[int, int]]) -> RegionDecoder:
    """Decodes the regions in order. What a window's text does not reach is decoded with the speech behind it."""
    seek = group[0][0]
    for index, (start, end) in enumerate(group):
        if start > seek:
            if prompt_state.unheard_frames:  # they are counted back from the next window
                prompt_state.unheard_frames += start - seek
            seek = start
        while seek < end:
            window_end = find_window_end(clip, group[index:], seek)
            next_seek = yield from decode_window(clip, prompt_state, seek, window_end, is_remainder=seek > start)
            seek = min(next_seek, window_end)  # a timestamp may lie behind the window's audio


def find_window_end(clip: ClipContext, regions: Sequence[tuple[int, int]], seek: int) -> int:
    """Finds the frame where a window ends that begins at `seek`, which lies in the first of the regions.

    That is this region's end, or a pause in those behind it, if it fits the window and no speech, no long silence and
    no edge of a range of `clip_timestamps` lies between the regions. A rest without speech ends with its region, and so
    does every window where each has a language of its own.
    """
    start, end = regions[0]
    speech_map = clip.speech_map
    if (
        speech_map is None
        or clip.detects_every_language
        or (seek > start and speech_map.sum_speech_s(seek, end) < MIN_REMAINDER_S)
    ):
        return end
    edges = [round(time_s * FRAMES_PER_SECOND) for time_s in clip.options.clip_times]
    for next_start, next_end in regions[1:]:
        if (
            next_start - end > MAX_GAP_S * FRAMES_PER_SECOND
            or any(end <= edge <= next_start for edge in edges)
            or clip.measure_speech(end / FRAMES_PER_SECOND, next_start / FRAMES_PER_SECOND)
        ):
            break
        limit = seek + WINDOW_FRAMES
        last = next_end if next_end <= limit else speech_map.find_last_end(limit)
        if last <= next_start:
            break
        end = last
        if end < next_end:
            break
    return end


def decode_batched(
    clip: ClipContext, prompt_state: PromptState, regions: Sequence[tuple[int, int]], *, concurrency: int
) -> Plan:
    """Decodes the regions (first and last mel frame), up to `concurrency` groups at once; segments come in order.

    With condition_on_previous_text a group has up to GROUP_SIZE regions, otherwise one. The language is that of the
    first region, unless it was given or is detected in every window.
    """
    options = clip.options
    groups: deque[_RegionGroup] = deque()
    waiting = deque(group_regions(regions, GROUP_SIZE if options.condition_on_previous_text else 1))
    running: dict[int, _RegionGroup] = {}
    request_id = count = 0
    texts: list[int] = []
    knows_language = prompt_state.language is not None or options.multilingual
    while waiting or groups:
        while waiting and len(running) < concurrency and (knows_language or not groups):
            regions_of_group = waiting.popleft()
            own = PromptState(
                language=prompt_state.language,
                tokens=list(prompt_state.initial_tokens),
                initial_tokens=prompt_state.initial_tokens,
                is_first=prompt_state.is_first,
                last_speech_s=regions_of_group[0][0] / FRAMES_PER_SECOND,
                warnings=prompt_state.warnings,
                sparse_spans=prompt_state.sparse_spans,
            )
            prompt_state.is_first = False
            group = _RegionGroup(prompt_state=own, decoder=_decode_group(clip, own, regions_of_group))
            groups.append(group)
            if (request := group.advance(None)) is not None:
                yield SubmitAction(request_id=request_id, request=request)
                running[request_id], request_id = group, request_id + 1
        if running:
            completed = yield AwaitAction(request_ids=frozenset(running))
            assert completed is not None, "a plan is sent the result it awaits"
            group = running.pop(completed[0])
            request = group.advance(completed[1])
            if not knows_language and group.prompt_state.language is not None:
                prompt_state.language = group.prompt_state.language
                prompt_state.language_probs = group.prompt_state.language_probs
                knows_language = True
            if request is not None:
                yield SubmitAction(request_id=request_id, request=request)
                running[request_id], request_id = group, request_id + 1
        while groups and (groups[0].emitted or groups[0].is_done):
            if not groups[0].emitted:
                groups.popleft()
                continue
            item = groups[0].emitted.popleft()
            if isinstance(item, Segment):
                item = with_id(item, count)
                count += 1
                texts += item.tokens
                if prompt_state.language is None:  # with `multilingual` it is that of the first text
                    prompt_state.language = item.language
                    prompt_state.language_probs = groups[0].prompt_state.language_probs
            yield item
    yield TranscriptSummary(
        text=clip.tokenizer.decode(texts).strip(),
        language=prompt_state.language,
        language_probability=prompt_state.language_probability,
        long_form="batched",
        warnings=prompt_state.list_warnings(),
        prompt_tokens=prompt_state.given_prompt_tokens,
    )
