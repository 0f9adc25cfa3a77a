"""Decodes one region of a clip window by window: each starts where the last one's text ended and is prompted with it.

Follows openai/whisper transcribe.py. Positions are mel frames (10 ms) from the clip's start.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from neuron_whisper.audio.clip import FRAMES_PER_SECOND, WINDOW_FRAMES
from neuron_whisper.audio.mel import LogMel
from neuron_whisper.audio.speech import MAX_GAP_S
from neuron_whisper.decode.alignment import align_words
from neuron_whisper.decode.hallucination import remove_hallucinations
from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.decode.segments import SegmentTokens, split_at_timestamps
from neuron_whisper.decode.window import DecodingResult, WindowRequest
from neuron_whisper.decode.window_options import WindowOptions, create_window_options
from neuron_whisper.decode.words import SegmentWithWords, assign_words, find_last_word_end
from neuron_whisper.longform.speech_map import SpeechMap
from neuron_whisper.text.tokenizer import Tokenizer
from neuron_whisper.transcript import Retry, Segment, SkippedRegion

RegionDecoder: TypeAlias = Generator[WindowRequest | Segment | SkippedRegion, DecodingResult | None, None]
"""After a WindowRequest it is sent the DecodingResult, after anything else None. Segments have id 0."""

MIN_REMAINDER_S = 0.1  # of speech after the last timestamp that is worth another window


@dataclass(slots=True, kw_only=True)
class PromptState:
    """State passed from window to window. `tokens` are the text so far, initial prompt included."""

    language: str | None
    language_probability: float | None = None
    tokens: list[int] = field(default_factory=list)
    initial_tokens: tuple[int, ...] = ()
    prompt_reset_since: int = 0
    last_speech_s: float = 0.0
    is_first: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipContext:
    """Data shared by all regions of a clip. `speech_map` None: voice activity detection is off."""

    mel: LogMel
    options: TranscribeOptions
    tokenizer: Tokenizer
    speech_map: SpeechMap | None

    def encode_initial_prompt(self) -> tuple[int, ...]:
        return self._encode_text(self.options.initial_prompt)

    def _encode_text(self, text: str | None) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(" " + text.strip())) if text and text.strip() else ()

    def _encode_prefix(self) -> tuple[int, ...]:
        """Encodes the prefix, after a timestamp unless `without_timestamps`, as in faster-whisper."""
        spoken = self._encode_text(self.options.prefix)
        at_start = () if self.options.without_timestamps else (self.tokenizer.special.timestamp_begin,)
        return (*at_start, *spoken) if spoken else ()

    def build_window_options(self, prompt_state: PromptState) -> WindowOptions:
        options = self.options
        prompt = tuple(prompt_state.tokens[prompt_state.prompt_reset_since :])
        if options.carry_initial_prompt and prompt_state.initial_tokens:
            since = max(len(prompt_state.initial_tokens), prompt_state.prompt_reset_since)
            room = max(0, 223 - len(prompt_state.initial_tokens))
            recent = prompt_state.tokens[since:]
            prompt = (*prompt_state.initial_tokens, *(recent[-room:] if room else ()))
        return create_window_options(
            options,
            language=None if options.multilingual and not options.language else prompt_state.language,
            prompt=prompt,
            prefix=self._encode_prefix() if prompt_state.is_first else (),
            include_prefix=True,
            hotwords=self._encode_text(options.hotwords),
            suppress_tokens=frozenset(self.tokenizer.get_suppress_tokens(options.suppress_tokens)),
        )


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
    watching".
    """
    frames = min(WINDOW_FRAMES, end - seek)
    speech_map = clip.speech_map
    if speech_map is not None:
        silence = frames
        if (run := speech_map.find_speech_run(seek)) is not None and run[0] < seek + frames:
            silence = run[0] - seek if run[0] - seek > MAX_GAP_S * FRAMES_PER_SECOND else 0
            frames = min(frames, run[1] - seek)
        if is_remainder and not silence and speech_map.sum_speech_s(seek, seek + frames) < MIN_REMAINDER_S:
            silence = frames
        if silence:
            yield SkippedRegion(
                start_s=seek / FRAMES_PER_SECOND, end_s=(seek + silence) / FRAMES_PER_SECOND, reason="vad"
            )
            return seek + silence
    request = WindowRequest(
        mel=clip.mel.cut_window(seek, seek + frames), options=clip.build_window_options(prompt_state), frames=frames
    )
    result = yield request
    assert result is not None, "a region decoder is sent the result of its request"
    prompt_state.is_first = False
    if prompt_state.language is None:
        prompt_state.language = result.language
        prompt_state.language_probability = result.language_probs.get(result.language or "")
    if result.is_silence:
        yield SkippedRegion(
            start_s=seek / FRAMES_PER_SECOND,
            end_s=(seek + frames) / FRAMES_PER_SECOND,
            reason="no_speech_threshold",
            text=result.text,
        )
        return seek + frames
    return (yield from _emit_segments(clip, prompt_state, result, seek, frames))


def _emit_segments(
    clip: ClipContext, prompt_state: PromptState, result: DecodingResult, seek: int, frames: int
) -> Generator[Segment | SkippedRegion, None, int]:
    """Yields a window's segments; returns the frame where the next window starts."""
    options, tokenizer, speech_map = clip.options, clip.tokenizer, clip.speech_map
    begin = tokenizer.special.timestamp_begin
    decoded, advance = split_at_timestamps(result.tokens, begin, seek_frames=seek, window_frames=frames)
    next_seek = seek + (advance or frames)  # without progress the window would be decoded for ever
    segments = [SegmentWithWords(start_s=it.start_s, end_s=it.end_s, tokens=it.tokens) for it in decoded]
    if result.attention is not None:
        segments = _add_words(clip, prompt_state, result, decoded, seek, frames)
        last_s = find_last_word_end(segments)
        is_ended_by_time = result.tokens[-2:-1] and result.tokens[-2] < begin <= result.tokens[-1]
        if not is_ended_by_time and last_s is not None and last_s * FRAMES_PER_SECOND > seek:
            next_seek = max(round(last_s * FRAMES_PER_SECOND), seek + 1)
        if (threshold_s := options.hallucination_silence_threshold_s) is not None:
            if not is_ended_by_time and last_s is not None and last_s * FRAMES_PER_SECOND > seek:
                window_end_s = (seek + WINDOW_FRAMES) / FRAMES_PER_SECOND
                next_seek = next_seek if window_end_s - last_s > threshold_s else seek + frames
            kept, restart = remove_hallucinations(
                segments,
                threshold_s=threshold_s,
                seek_frames=seek,
                window_frames=frames,
                content_frames=clip.mel.content_frames,
                last_speech_s=prompt_state.last_speech_s,
            )
            for segment in segments[len(kept) :] if restart is not None else ():
                yield _to_skipped_region(tokenizer, segment, "hallucination")
            segments, next_seek = kept, next_seek if restart is None else max(restart, seek + 1)
        if (last_s := find_last_word_end(segments)) is not None:
            prompt_state.last_speech_s = last_s
    logprobs = iter(result.token_logprobs)
    for segment in segments:
        # tokens first: zip reads one element too many from its first iterable when the second ends
        segment_logprobs = tuple(logprob for _, logprob in zip(segment.tokens, logprobs, strict=False))
        text = tokenizer.decode(segment.tokens)
        if segment.start_s == segment.end_s or not text.strip():
            if text.strip():
                yield _to_skipped_region(tokenizer, segment, "empty")
            continue
        start, end = (round(s * FRAMES_PER_SECOND) for s in (segment.start_s, segment.end_s))
        if speech_map is not None and not speech_map.overlaps(start, end):
            yield _to_skipped_region(tokenizer, segment, "vad")
            continue
        prompt_state.tokens += segment.tokens
        if speech_map is not None and not segment.words:  # timestamps are exact at words and vague in silence
            start_s, end_s = speech_map.trim_silence(segment.start_s, segment.end_s)
            segment = replace(segment, start_s=start_s, end_s=end_s)
        yield _to_segment(result, segment, seek, text, segment_logprobs)
    if not options.condition_on_previous_text or result.temperature > options.prompt_reset_on_temperature:
        prompt_state.prompt_reset_since = len(prompt_state.tokens)
    return next_seek


def _add_words(
    clip: ClipContext,
    prompt_state: PromptState,
    result: DecodingResult,
    segments: list[SegmentTokens],
    seek: int,
    frames: int,
) -> list[SegmentWithWords]:
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
        n_frames=frames,
        splitting=options.word_splitting,
    )
    return assign_words(
        segments,
        timings,
        seek_frames=seek,
        window_frames=frames,
        last_speech_s=prompt_state.last_speech_s,
        prepended=options.prepend_punctuations,
        appended=options.append_punctuations,
    )


def _to_skipped_region(tokenizer: Tokenizer, segment: SegmentTokens, reason: str) -> SkippedRegion:
    return SkippedRegion(
        start_s=segment.start_s, end_s=segment.end_s, reason=reason, text=tokenizer.decode(segment.tokens).strip()
    )


def _to_segment(
    result: DecodingResult, decoded: SegmentWithWords, seek: int, text: str, logprobs: tuple[float, ...]
) -> Segment:
    return Segment(
        id=0,
        seek_s=seek / FRAMES_PER_SECOND,
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
        language=result.language,
    )


def with_id(segment: Segment, segment_id: int) -> Segment:
    return replace(segment, id=segment_id)
