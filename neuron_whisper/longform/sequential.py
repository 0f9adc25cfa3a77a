"""The sequential plan: decodes one window at a time, each prompted with the text before it."""

from __future__ import annotations

from collections.abc import Sequence

from neuron_whisper.decode.window import DecodingResult, WindowRequest
from neuron_whisper.longform.clip_context import ClipContext, PromptState
from neuron_whisper.longform.plan import AwaitAction, Plan, SubmitAction, TranscriptSummary
from neuron_whisper.longform.region import decode_region
from neuron_whisper.longform.window_result import with_id
from neuron_whisper.transcript import Segment


def decode_sequential(clip: ClipContext, prompt_state: PromptState, regions: Sequence[tuple[int, int]]) -> Plan:
    """Decodes the regions (first and last mel frame) in order with one prompt, as openai/whisper's transcribe()."""
    count = request_id = 0
    n_initial = len(prompt_state.tokens)
    for start, end in regions:
        decoder = decode_region(clip, prompt_state, start, end)
        result: DecodingResult | None = None
        while True:
            try:
                item = decoder.send(result)
            except StopIteration:
                break
            result = None
            match item:
                case WindowRequest():
                    yield SubmitAction(request_id=request_id, request=item)
                    completed = yield AwaitAction(request_ids=frozenset((request_id,)))
                    assert completed is not None, "a plan is sent the result it awaits"
                    result, request_id = completed[1], request_id + 1
                case Segment():
                    yield with_id(item, count)
                    count += 1
                case _:
                    yield item
    yield TranscriptSummary(
        text=clip.tokenizer.decode(prompt_state.tokens[n_initial:]).strip(),
        language=prompt_state.language,
        language_probability=prompt_state.language_probability,
        warnings=prompt_state.list_warnings(),
        prompt_tokens=prompt_state.given_prompt_tokens,
    )
