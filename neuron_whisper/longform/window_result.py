"""Reads a window's result: its segments, the regions that are skipped, and where the next window starts.

Follows openai/whisper transcribe.py, but where the voice detector hears speech that a window's text does not reach.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from neuron_whisper.audio.clip import FRAMES_PER_SECOND, WINDOW_FRAMES
from neuron_whisper.decode.alignment import align_words
from neuron_whisper.decode.bounds import fit_segments
from neuron_whisper.decode.hallucination import remove_hallucinations
from neuron_whisper.decode.segments import SegmentTokens, split_at_timestamps
from neuron_whisper.decode.window import DecodingResult
from neuron_whisper.decode.words import SegmentWithWords, assign_words, find_last_word_end
from neuron_whisper.longform.clip_context import ClipContext, PromptState
from neuron_whisper.longform.coverage import SHORTEST_SKIPPED_S
from neuron_whisper.transcript import Retry, Segment, SkippedRegion

MIN_REST_S = 1.0  # of speech behind the text of a window: with less of it a timestamp is merely early
MIN_PROGRESS_S = 1.0  # of a window whose rest is decoded: a text of no length would be decoded for ever
MIN_TOKENS_PER_S = 0.8  # of speech: slow speech has twice as many
MIN_SPLIT_FRAMES = 1000  # a window of 10 s holds less than its maximum of tokens, however fast the speech


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedWindow:
    """A window at frame `seek`, of which `frames` hold audio, and its result."""

    seek: int
    frames: int
    result: DecodingResult

    @property
    def end(self) -> int:
        return self.seek + self.frames

    @property
    def start_s(self) -> float:
        return self.seek / FRAMES_PER_SECOND

    @property
    def end_s(self) -> float:
        return self.end / FRAMES_PER_SECOND


def read_result(
    clip: ClipContext, prompt_state: PromptState, window: DecodedWindow
) -> tuple[list[Segment | SkippedRegion], int]:
    """Returns the window's segments and skipped regions, and the frame where the next window starts.

    That is the window's own start if its text was cut, or if its language may be that of speech behind its text: then
    it is decoded again, up to `prompt_state.max_frames`.
    """
    result = window.result
    if result.is_silence:
        silence = SkippedRegion(
            start_s=window.start_s, end_s=window.end_s, reason="no_speech_threshold", text=result.text
        )
        return [silence], window.end
    decoded, advance = split_at_timestamps(
        result.tokens, clip.tokenizer.special.timestamp_begin, seek_frames=window.seek, window_frames=window.frames
    )
    if decoded[0].tokens == result.tokens and _is_open_ended(clip, result):
        is_cut = result.finish_reason == "length"
        is_sparse = not clip.tries_again and _is_sparse(clip, window)  # where it is, in second_try
        if (is_cut or is_sparse) and (max_frames := _find_split(clip, window)) is not None:
            prompt_state.max_frames = max_frames
            return [], window.seek
        if is_cut:
            prompt_state.warnings.append(_describe_cut(window))
    before = replace(prompt_state, tokens=list(prompt_state.tokens)) if clip.detects_every_language else prompt_state
    segments, removed, next_seek = _time_segments(clip, prompt_state, window, decoded, advance)
    items: list[Segment | SkippedRegion] = [_skip(clip, window, segment, "hallucination") for segment in removed]
    items += _select_segments(clip, prompt_state, window, segments, min(window.end, next_seek))
    options = clip.options
    if not options.condition_on_previous_text or result.temperature > options.prompt_reset_on_temperature:
        prompt_state.prompt_reset_since = len(prompt_state.tokens)
    if next_seek != window.end or (rest := _find_rest(clip, window, items)) is None:
        return items, next_seek
    if not clip.detects_every_language:
        return items, rest
    # the language is that of both parts together: each is decoded in its own
    prompt_state.restore(before)
    prompt_state.max_frames = rest - window.seek
    return [], window.seek


# --- text that does not reach the window's end ----------------------------------------------------


def _is_open_ended(clip: ClipContext, result: DecodingResult) -> bool:
    """Whether neither a timestamp nor a word's time says where the text ends."""
    begin = clip.tokenizer.special.timestamp_begin
    return result.attention is None and all(token < begin for token in result.tokens[-1:])


def _is_sparse(clip: ClipContext, window: DecodedWindow) -> bool:
    """Whether the text is too short for the window's speech: the model stopped before its end."""
    n_tokens = sum(token < clip.tokenizer.special.eot for token in window.result.tokens)
    return n_tokens < MIN_TOKENS_PER_S * clip.measure_speech(window.start_s, window.end_s)


def _find_split(clip: ClipContext, window: DecodedWindow) -> int | None:
    """Finds the frames of a shorter window, which ends in a pause; None where the text is to stay cut."""
    attempts = window.result.attempts
    is_accepted = not attempts or not attempts[-1].rejection_reason
    if (
        clip.speech_map is None
        or clip.options.max_new_tokens is not None
        or not is_accepted
        or window.frames < MIN_SPLIT_FRAMES
    ):
        return None
    quarter_s = window.frames / FRAMES_PER_SECOND / 4
    pause_s = clip.speech_map.find_pause(window.start_s + quarter_s, window.end_s - quarter_s)
    return round(pause_s * FRAMES_PER_SECOND) - window.seek


def _describe_cut(window: DecodedWindow) -> str:
    return (
        f"the text of {window.start_s:.2f}-{window.end_s:.2f} s is cut: "
        f"it has the most tokens that a window may have, {len(window.result.tokens)}"
    )


def _find_rest(clip: ClipContext, window: DecodedWindow, items: Sequence[Segment | SkippedRegion]) -> int | None:
    """Finds the frame behind the window's text if speech follows it there; None: the window is complete."""
    ends = [item.end_s for item in items if isinstance(item, Segment)]
    if clip.speech_map is None or window.result.is_truncated or not ends:
        return None
    if ends[-1] - window.start_s < MIN_PROGRESS_S or clip.measure_speech(ends[-1], window.end_s) < MIN_REST_S:
        return None
    return math.ceil(round(ends[-1] * FRAMES_PER_SECOND, 6))  # not before the end: segments must not overlap


# --- segments -------------------------------------------------------------------------------------


def _time_segments(
    clip: ClipContext, prompt_state: PromptState, window: DecodedWindow, decoded: list[SegmentTokens], advance: int
) -> tuple[list[SegmentWithWords], list[SegmentWithWords], int]:
    """Returns the segments (with words if there is attention), removed ones, and where the next window starts."""
    result, seek = window.result, window.seek
    next_seek = seek + (advance or window.frames)  # without progress the window would be decoded for ever
    if result.attention is None:
        segments = [SegmentWithWords(start_s=it.start_s, end_s=it.end_s, tokens=it.tokens) for it in decoded]
        return segments, [], next_seek
    segments = _add_words(clip, prompt_state, window, decoded)
    begin = clip.tokenizer.special.timestamp_begin
    is_ended_by_time = bool(result.tokens[-2:-1]) and result.tokens[-2] < begin <= result.tokens[-1]
    last_s = find_last_word_end(segments)
    is_ended_by_word = not is_ended_by_time and last_s is not None and last_s * FRAMES_PER_SECOND > seek
    if is_ended_by_word and last_s is not None:
        next_seek = max(round(last_s * FRAMES_PER_SECOND), seek + 1)
    removed: list[SegmentWithWords] = []
    if (threshold_s := clip.options.hallucination_silence_threshold_s) is not None:
        if is_ended_by_word and last_s is not None:
            window_end_s = (seek + WINDOW_FRAMES) / FRAMES_PER_SECOND
            next_seek = next_seek if window_end_s - last_s > threshold_s else window.end
        kept, restart = remove_hallucinations(
            segments,
            threshold_s=threshold_s,
            seek_frames=seek,
            window_frames=window.frames,
            content_frames=clip.mel.content_frames,
            last_speech_s=prompt_state.last_speech_s,
        )
        if restart is not None:
            segments, removed, next_seek = kept, segments[len(kept) :], max(restart, seek + 1)
    if (last_s := find_last_word_end(segments)) is not None:
        prompt_state.last_speech_s = last_s
    return segments, removed, next_seek


def _select_segments(
    clip: ClipContext, prompt_state: PromptState, window: DecodedWindow, decoded: list[SegmentWithWords], end: int
) -> list[Segment | SkippedRegion]:
    """Adds the text of segments to the prompt; those without a length, or without speech, are skipped regions."""
    speech_map, end_s = clip.speech_map, end / FRAMES_PER_SECOND
    logprobs = iter(window.result.token_logprobs)
    items: list[Segment | SkippedRegion] = []
    for unfitted, segment in zip(decoded, fit_segments(decoded, start_s=window.start_s, end_s=end_s), strict=True):
        # tokens first: zip reads one element too many from its first iterable when the second ends
        segment_logprobs = tuple(logprob for _, logprob in zip(segment.tokens, logprobs, strict=False))
        text = clip.tokenizer.decode(segment.tokens)
        if unfitted.start_s == unfitted.end_s or not text.strip():
            if text.strip():
                items.append(_skip(clip, window, segment, "empty"))
            continue
        first, last = (round(second * FRAMES_PER_SECOND) for second in (segment.start_s, segment.end_s))
        if speech_map is not None and (unfitted.start_s >= end_s or not speech_map.overlaps(first, last)):
            items.append(_skip(clip, window, segment, "vad"))
            continue
        prompt_state.tokens += segment.tokens
        if speech_map is not None and not segment.words:  # timestamps are exact at words and vague in silence
            start_s, trimmed_end_s = speech_map.trim_silence(segment.start_s, segment.end_s)
            segment = replace(segment, start_s=start_s, end_s=trimmed_end_s)
        items.append(_to_segment(window, segment, text, segment_logprobs, prompt_state.language))
    return items


def _add_words(
    clip: ClipContext,
    prompt_state: PromptState,
    window: DecodedWindow,
    segments: list[SegmentTokens],
) -> list[SegmentWithWords]:
    result = window.result
    assert result.attention is not None
    eot = clip.tokenizer.special.eot
    texts = [[token for token in segment.tokens if token < eot] for segment in segments]
    n_tokens = sum(len(segment.tokens) for segment in segments)
    logprobs = [
        logprob for token, logprob in zip(result.tokens[:n_tokens], result.token_logprobs, strict=False) if token < eot
    ]
    options = clip.options
    language = "en" if options.task == "translate" else result.language or prompt_state.language
    timings = align_words(
        result.attention,
        result.first_aligned_row,
        texts,
        logprobs,
        clip.tokenizer,
        language=language,
        n_frames=window.frames,
        splitting=options.word_splitting,
    )
    return assign_words(
        segments,
        timings,
        seek_frames=window.seek,
        window_frames=window.frames,
        last_speech_s=prompt_state.last_speech_s,
        prepended=options.prepend_punctuations,
        appended=options.append_punctuations,
    )


def _skip(clip: ClipContext, window: DecodedWindow, segment: SegmentWithWords, reason: str) -> SkippedRegion:
    """The region of a dropped text; one without a length gets the shortest that there is, inside the window."""
    start_s, end_s = segment.start_s, segment.end_s
    if end_s <= start_s:
        start_s = max(window.start_s, min(start_s, window.end_s - SHORTEST_SKIPPED_S))
        end_s = min(window.end_s, start_s + SHORTEST_SKIPPED_S)
    return SkippedRegion(
        start_s=start_s, end_s=end_s, reason=reason, text=clip.tokenizer.decode(segment.tokens).strip()
    )


def _to_segment(
    window: DecodedWindow,
    decoded: SegmentWithWords,
    text: str,
    logprobs: tuple[float, ...],
    language: str | None,
) -> Segment:
    result = window.result
    return Segment(
        id=0,
        seek_s=window.start_s,
        start_s=decoded.start_s,
        end_s=decoded.end_s,
        text=text,
        tokens=decoded.tokens,
        temperature=result.temperature,
        avg_logprob=result.avg_logprob,
        compression_ratio=result.compression_ratio,
        no_speech_prob=result.no_speech_prob,
        words=decoded.words,
        token_logprobs=logprobs,
        retries=tuple(Retry(temperature=it.temperature, reason=it.rejection_reason) for it in result.attempts[:-1]),
        is_truncated=result.is_truncated,
        language=result.language or language,  # an English-only model's window has none
    )


def with_id(segment: Segment, segment_id: int) -> Segment:
    return replace(segment, id=segment_id)
