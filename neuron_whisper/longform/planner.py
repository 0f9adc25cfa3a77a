"""Chooses the plan of a clip, sequential or batched, and the regions it decodes."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import cache, partial

from neuron_whisper.audio.clip import FRAMES_PER_SECOND, HOP_SAMPLES, WINDOW_S, AudioClip
from neuron_whisper.audio.mel import LogMel
from neuron_whisper.audio.speech import (
    BATCHED_VAD,
    merge_into_windows,
    speech_probabilities,
)
from neuron_whisper.audio.vad_options import VadOptions
from neuron_whisper.decode.language import resolve_language, warn_of_detection
from neuron_whisper.decode.options import DEFAULT_VAD, TranscribeOptions
from neuron_whisper.decode.prompt import PromptLimits
from neuron_whisper.errors import CheckpointError, InvalidOption
from neuron_whisper.longform.batched import decode_batched
from neuron_whisper.longform.chinese_script import convert_script
from neuron_whisper.longform.clip_context import ClipContext, PromptState
from neuron_whisper.longform.plan import Plan
from neuron_whisper.longform.prompt_use import measure_prompt_use
from neuron_whisper.longform.sequential import decode_sequential
from neuron_whisper.longform.silent_gaps import find_gaps, report_gaps
from neuron_whisper.longform.speech_map import SpeechMap
from neuron_whisper.text.chinese import load_converter
from neuron_whisper.text.tokenizer import Tokenizer

log = logging.getLogger(__name__)

MIN_BATCHED_S = 60.0  # two windows: a shorter clip has nothing to decode in parallel


def plan_transcription(
    clip: AudioClip,
    options: TranscribeOptions,
    tokenizer: Tokenizer,
    *,
    n_mels: int,
    concurrency: int,
    prompt_limits: PromptLimits | None = None,
) -> Plan:
    """Plans a clip as `options.long_form` says, or by its length; a batched plan decodes `concurrency` windows at once.

    Raises InvalidOption as resolve_language does, for a script that needs OpenCC and for clip_timestamps behind the
    clip's end, and CheckpointError if `long_form` is batched and the voice detector's weights are missing; without
    them any other clip is decoded sequentially.
    """
    convert = load_converter(options.chinese_script) if options.chinese_script is not None else None
    plan = _choose_plan(clip, options, tokenizer, n_mels, concurrency, prompt_limits or PromptLimits())
    return plan if convert is None else convert_script(plan, convert)


def _choose_plan(
    clip: AudioClip,
    options: TranscribeOptions,
    tokenizer: Tokenizer,
    n_mels: int,
    concurrency: int,
    prompt_limits: PromptLimits,
) -> Plan:
    language = resolve_language(options, tokenizer)
    ranges = _to_frame_ranges(options.clip_times, len(clip.samples) // HOP_SAMPLES)
    is_batched = options.long_form == "batched" or (
        options.long_form == "auto" and options.vad_filter and clip.duration_s >= MIN_BATCHED_S
    )
    speech_map = None
    if options.vad_filter or is_batched:
        try:
            speech_map = _detect_speech(clip, _to_batched_vad(options.vad) if is_batched else options.vad)
        except CheckpointError as error:  # an installation without Silero's weights
            if options.long_form == "batched":
                raise
            log.warning("voice activity detection is unavailable; silence may produce hallucinated text: %s", error)
            is_batched = False
    mel = LogMel.from_samples(clip.samples, n_mels)
    clip_context = ClipContext(
        mel=mel,
        options=options,
        tokenizer=tokenizer,
        speech_map=speech_map,
        detect_speech=cache(partial(_try_to_detect_speech, clip, options.vad)),
    )
    initial = clip_context.encode_initial_prompt()
    prompt_state = PromptState(language=language, tokens=list(initial), initial_tokens=initial)
    prompt_use = measure_prompt_use(clip_context, prompt_state, prompt_limits)
    prompt_state.given_prompt_tokens = prompt_use.tokens
    prompt_state.warnings += [*prompt_use.warnings, *warn_of_detection(options, tokenizer)]
    if not is_batched:
        return decode_sequential(clip_context, prompt_state, ranges)
    assert speech_map is not None
    packed = [
        (round(pack.start_s * FRAMES_PER_SECOND), min(mel.content_frames, round(pack.end_s * FRAMES_PER_SECOND)))
        for pack in merge_into_windows(speech_map.spans)
    ]
    cut = [(max(a, start), min(b, end)) for start, end in ranges for a, b in packed]
    regions = [(start, end) for start, end in cut if start < end]
    plan = decode_batched(clip_context, prompt_state, regions, concurrency=concurrency)
    return report_gaps(plan, find_gaps(ranges, regions, speech_map))


def _detect_speech(clip: AudioClip, vad: VadOptions) -> SpeechMap:
    return SpeechMap.from_probabilities(speech_probabilities(clip.samples), len(clip.samples), vad)


def _try_to_detect_speech(clip: AudioClip, vad: VadOptions) -> SpeechMap | None:
    """As _detect_speech; None in an installation without Silero's weights."""
    try:
        return _detect_speech(clip, vad)
    except CheckpointError:
        return None


def _to_batched_vad(vad: VadOptions) -> VadOptions:
    """Limits spans to a window; the default VAD also ends spans at shorter silences, so that windows are filled up."""
    if vad == DEFAULT_VAD:
        vad = replace(vad, min_silence_duration_ms=BATCHED_VAD.min_silence_duration_ms)
    return vad.with_max_duration(WINDOW_S)


def _to_frame_ranges(times: tuple[float, ...], content_frames: int) -> list[tuple[int, int]]:
    """Turns seconds into frame ranges: (1.0, 2.0, 5.0) of 9 s -> [(100, 200), (500, 900)]; () -> the whole clip.

    Raises InvalidOption for a range that begins at or behind the end of the clip; one may end behind it.
    """
    frames = [min(content_frames, round(time * FRAMES_PER_SECOND)) for time in times] or [0]
    for start_s, frame in zip(times[::2], frames[::2], strict=False):  # of no times there is a frame, 0
        if start_s and frame == content_frames:
            end_s = content_frames / FRAMES_PER_SECOND
            allowed = f"the range from {start_s:g} s begins behind the audio, which ends at {end_s:g} s"
            raise InvalidOption("clip_timestamps", list(times), allowed)
    ends = [*frames, content_frames] if len(frames) % 2 else frames
    return list(zip(ends[::2], ends[1::2], strict=True))
