"""Decodes one region of a clip window by window: each starts where the last one's text ended and is prompted with it.

Follows openai/whisper transcribe.py. Positions are mel frames (10 ms) from the clip's start.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeAlias

from neuron_whisper.audio.clip import FRAMES_PER_SECOND, WINDOW_FRAMES
from neuron_whisper.audio.speech import MAX_GAP_S
from neuron_whisper.decode.window import DecodingResult, WindowRequest
from neuron_whisper.longform.clip_context import ClipContext, PromptState
from neuron_whisper.longform.coverage import find_unheard, is_sparse
from neuron_whisper.longform.second_try import replace_text, try_again
from neuron_whisper.longform.window_result import DecodedWindow, read_result
from neuron_whisper.transcript import Segment, SkippedRegion

RegionDecoder: TypeAlias = Generator[WindowRequest | Segment | SkippedRegion, DecodingResult | None, None]
"""After a WindowRequest it is sent the DecodingResult, after anything else None. Segments have id 0."""

MIN_REMAINDER_S = 0.1  # of speech after the last timestamp that is worth another window


def decode_region(clip: ClipContext, prompt_state: PromptState, start: int, end: int) -> RegionDecoder:
    """Decodes the windows from frame `start` to `end` and updates `prompt_state`."""
    seek = start
    while seek < end:
        seek = yield from decode_window(clip, prompt_state, seek, end, is_remainder=seek > start)


def decode_window(
    clip: ClipContext, prompt_state: PromptState, seek: int, end: int, *, is_remainder: bool
) -> Generator[WindowRequest | Segment | SkippedRegion, DecodingResult | None, int]:
    """Decodes the window from frame `seek` on, at most to `end`; returns the frame where the next one starts.

    Not decoded are a window without speech, a remainder with less than MIN_REMAINDER_S of speech, and a silence longer
    than MAX_GAP_S before or after speech: for silence a model repeats the text before it or hallucinates "thanks for
    watching". The next one starts at `seek` again where the text has more tokens than a window may: it ends earlier
    then.
    """
    frames = min(WINDOW_FRAMES, end - seek, prompt_state.max_frames or WINDOW_FRAMES)
    speech_map = clip.speech_map
    if speech_map is not None:
        silence = frames
        if (run := speech_map.find_speech_run(seek)) is not None and run[0] < seek + frames:
            silence = run[0] - seek if run[0] - seek > MAX_GAP_S * FRAMES_PER_SECOND else 0
            frames = min(frames, run[1] - seek)
        if is_remainder and not silence and speech_map.sum_speech_s(seek, seek + frames) < MIN_REMAINDER_S:
            silence = frames
        if silence:
            skipped = SkippedRegion(
                start_s=seek / FRAMES_PER_SECOND, end_s=(seek + silence) / FRAMES_PER_SECOND, reason="vad"
            )
            yield from _add_unheard(clip, prompt_state, [skipped], seek, seek + silence, end)
            return seek + silence
    n_before = len(prompt_state.tokens)
    request = WindowRequest(
        mel=clip.mel.cut_window(seek, seek + frames), options=clip.build_window_options(prompt_state), frames=frames
    )
    result = yield request
    assert result is not None, "a region decoder is sent the result of its request"
    if not clip.detects_every_language and not result.is_silence:
        prompt_state.note_language(result)
    items, next_seek = read_result(clip, prompt_state, DecodedWindow(seek=seek, frames=frames, result=result))
    if next_seek > seek:
        prompt_state.is_first, prompt_state.max_frames = False, None
        if not result.is_silence:  # only now: a window of two languages is decoded in parts
            prompt_state.note_language(result)
        options = request.options
        tried = yield from try_again(
            clip,
            prompt_state,
            items,
            (seek, min(next_seek, end)),
            is_prompted=any((options.prompt, options.carried_prompt, options.hotwords, options.prefix)),
            decode_region=decode_region,
        )
        if tried is not items:
            replace_text(prompt_state, tried, n_before)
            languages = (item.language for item in tried if isinstance(item, Segment))
            prompt_state.language = prompt_state.language or next(languages, None)
        yield from _add_unheard(clip, prompt_state, tried, seek, min(next_seek, end), end)
    return next_seek


def _add_unheard(
    clip: ClipContext,
    prompt_state: PromptState,
    items: list[Segment | SkippedRegion],
    start: int,
    end: int,
    region_end: int,
) -> list[Segment | SkippedRegion]:
    """Returns the items of the frames `start` to `end`, and regions of speech that have none of them, in order."""
    unheard, covered_end = find_unheard(
        items,
        clip.measure_speech,
        start=start - prompt_state.unheard_frames,
        end=end,
        is_last=end >= region_end,
    )
    prompt_state.unheard_frames = end - covered_end
    prompt_state.sparse_spans += [
        (it.start_s, it.end_s) for it in items if isinstance(it, Segment) and is_sparse(it, clip.measure_speech)
    ]
    return sorted([*items, *unheard], key=lambda item: item.start_s)
