"""Plans for clips of any length, sans I/O: generators which yield window asks and segments, and receive hypotheses."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias

from neuron_whisper.audio.clip import WINDOW_FRAMES
from neuron_whisper.audio.mel import LogMel
from neuron_whisper.decode.options import TranscribeOptions, WindowOptions
from neuron_whisper.decode.segments import FRAME_S, split_at_timestamps
from neuron_whisper.decode.window import Hypothesis, WindowAsk
from neuron_whisper.text.tokenizer import Tokenizer
from neuron_whisper.transcript import Segment

PROMPT_RESET_TEMPERATURE = 0.5  # openai/whisper transcribe.py: text decoded above it is no good context


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a plan knows beyond its segments when it ends. `language_probability` is None where it was given."""

    text: str
    language: str
    language_probability: float | None


Plan: TypeAlias = Generator[WindowAsk | Segment | Outcome, Hypothesis | None, None]


def sequential(mel: LogMel, options: TranscribeOptions, tokenizer: Tokenizer) -> Plan:
    """openai/whisper's transcribe(): each window starts where the last one's speech ended, prompted with its text.

    After a WindowAsk the plan wants its Hypothesis, after anything else nothing (None). An Outcome comes last.
    """
    suppressed = frozenset(tokenizer.suppressed(options.suppress_tokens))
    special = tokenizer.special
    language = options.language
    if not special.is_multilingual:
        tokenizer.sot_sequence(language, options.task, timestamps=True)  # refuses any language but English
        language = "en"
    probability: float | None = None
    initial = tokenizer.encode(" " + options.initial_prompt.strip()) if options.initial_prompt else []
    tokens = list(initial)
    prompt_from = 0
    seek = count = 0
    while seek < mel.content_frames:
        frames = min(WINDOW_FRAMES, mel.content_frames - seek)
        ask = WindowAsk(
            mel=mel.window(seek),
            options=WindowOptions(
                language=language,
                task=options.task,
                prompt=tuple(tokens[prompt_from:]),
                suppressed=suppressed,
                suppress_blank=options.suppress_blank,
                without_timestamps=options.without_timestamps,
                max_initial_timestamp_s=options.max_initial_timestamp_s,
            ),
        )
        hypothesis = yield ask
        assert hypothesis is not None, "a plan is sent the hypothesis of what it asked"
        if language is None:
            language = hypothesis.language
            probability = hypothesis.language_probs.get(language or "")
        if is_silence(hypothesis, options):
            seek += frames
            continue
        spans, advance = split_at_timestamps(
            hypothesis.tokens, special.timestamp_begin, seek_frames=seek, window_frames=frames
        )
        for span in spans:
            text = tokenizer.decode(span.tokens)
            if span.start_s == span.end_s or not text.strip():
                continue
            yield Segment(
                id=count,
                seek_s=seek * FRAME_S,
                start_s=span.start_s,
                end_s=span.end_s,
                text=text,
                tokens=span.tokens,
                temperature=hypothesis.temperature,
                avg_logprob=hypothesis.avg_logprob,
                compression_ratio=hypothesis.compression_ratio,
                no_speech_prob=hypothesis.no_speech_prob,
            )
            count += 1
            tokens += span.tokens
        seek += advance or frames  # a window that advances nothing would be decoded for ever
        if not options.condition_on_previous_text or hypothesis.temperature > PROMPT_RESET_TEMPERATURE:
            prompt_from = len(tokens)
    text = tokenizer.decode(tokens[len(initial) :]).strip()
    yield Outcome(text=text, language=language or "en", language_probability=probability)


def is_silence(hypothesis: Hypothesis, options: TranscribeOptions) -> bool:
    """Whether the window is skipped: likely no speech, and the text is not likely either."""
    if options.no_speech_threshold is None or hypothesis.no_speech_prob <= options.no_speech_threshold:
        return False
    return options.logprob_threshold is None or hypothesis.avg_logprob <= options.logprob_threshold
