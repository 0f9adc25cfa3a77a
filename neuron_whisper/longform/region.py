"""One stretch of a clip, window after window: each starts where the last one's speech ended, prompted with its text.

Follows openai/whisper transcribe.py. Positions are mel frames (10 ms) from the clip's start.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from neuron_whisper.audio.clip import WINDOW_FRAMES
from neuron_whisper.audio.mel import LogMel
from neuron_whisper.audio.speech import MAX_GAP_S
from neuron_whisper.decode.alignment import align_words
from neuron_whisper.decode.hallucination import without_hallucinations
from neuron_whisper.decode.options import TranscribeOptions, WindowOptions
from neuron_whisper.decode.segments import Span, split_at_timestamps
from neuron_whisper.decode.window import Hypothesis, WindowAsk
from neuron_whisper.decode.words import WordedSpan, last_word_end, words_of_segments
from neuron_whisper.longform.plan import FRAMES_PER_S
from neuron_whisper.longform.speech_map import Voice
from neuron_whisper.text.tokenizer import Tokenizer
from neuron_whisper.transcript import Dropped, Retry, Segment

Stretch: TypeAlias = Generator[WindowAsk | Segment | Dropped, Hypothesis | None, None]
"""After a WindowAsk it wants the Hypothesis, after anything else None. Segments have id 0: who yields them counts."""

LEAST_REST_S = 0.1  # of speech behind the last timestamp that is worth another window


@dataclass(slots=True, kw_only=True)
class Context:
    """What stretches that are decoded one after another pass on. `tokens` are the text so far, the prompt included."""

    language: str | None
    language_probability: float | None = None
    tokens: list[int] = field(default_factory=list)
    initial: tuple[int, ...] = ()
    prompt_from: int = 0
    last_speech_s: float = 0.0
    is_first: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Hearing:
    """What all stretches of a clip share. `voice` None: text may be anywhere."""

    mel: LogMel
    options: TranscribeOptions
    tokenizer: Tokenizer
    voice: Voice | None

    def initial_tokens(self) -> tuple[int, ...]:
        return self._spoken(self.options.initial_prompt)

    def _spoken(self, text: str | None) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(" " + text.strip())) if text and text.strip() else ()

    def _prefix(self) -> tuple[int, ...]:
        """Behind a timestamp where there are to be some, as faster-whisper has it."""
        spoken = self._spoken(self.options.prefix)
        at_start = () if self.options.without_timestamps else (self.tokenizer.special.timestamp_begin,)
        return (*at_start, *spoken) if spoken else ()

    def window_options(self, context: Context) -> WindowOptions:
        options = self.options
        prompt = tuple(context.tokens[context.prompt_from :])
        if options.carry_initial_prompt and context.initial:
            since = max(len(context.initial), context.prompt_from)
            room = max(0, 223 - len(context.initial))
            recent = context.tokens[since:]
            prompt = (*context.initial, *(recent[-room:] if room else ()))
        return WindowOptions(
            language=None if options.multilingual and not options.language else context.language,
            languages=options.languages,
            task=options.task,
            prompt=prompt,
            prefix=self._prefix() if context.is_first else (),
            tells_prefix=True,
            hotwords=self._spoken(options.hotwords),
            suppressed=frozenset(self.tokenizer.suppressed(options.suppress_tokens)),
            suppress_blank=options.suppress_blank,
            without_timestamps=options.without_timestamps,
            max_initial_timestamp_s=options.max_initial_timestamp_s,
            max_new_tokens=options.max_new_tokens,
            temperatures=options.temperatures,
            beam_size=options.beam_size,
            best_of=options.best_of,
            patience=options.patience,
            length_penalty=options.length_penalty,
            seed=options.seed,
            compression_ratio_threshold=options.compression_ratio_threshold,
            logprob_threshold=options.logprob_threshold,
            no_speech_threshold=options.no_speech_threshold,
            repetition_cut=options.repetition_cut,
            word_timestamps=options.word_timestamps,
        )


def decode_stretch(hearing: Hearing, context: Context, start: int, end: int) -> Stretch:
    """The windows from frame `start` to `end`, with the context they leave behind."""
    seek = start
    while seek < end:
        seek = yield from decode_window(hearing, context, seek, end, is_rest=seek > start)


def decode_window(
    hearing: Hearing, context: Context, seek: int, end: int, *, is_rest: bool
) -> Generator[WindowAsk | Segment | Dropped, Hypothesis | None, int]:
    """The window from frame `seek` on, at most to `end`; returns where the next one starts.

    A window where nobody speaks is not decoded, nor a rest that holds less than LEAST_REST_S of speech, nor a
    silence longer than MAX_GAP_S before or behind speech: what a model says of silence is the text before it, or thanks
    for watching.
    """
    frames = min(WINDOW_FRAMES, end - seek)
    voice = hearing.voice
    if voice is not None:
        silence = frames
        if (run := voice.next_run(seek)) is not None and run[0] < seek + frames:
            silence = run[0] - seek if run[0] - seek > MAX_GAP_S * FRAMES_PER_S else 0
            frames = min(frames, run[1] - seek)
        if is_rest and not silence and voice.seconds(seek, seek + frames) < LEAST_REST_S:
            silence = frames
        if silence:
            yield Dropped(start_s=seek / FRAMES_PER_S, end_s=(seek + silence) / FRAMES_PER_S, reason="no_voice")
            return seek + silence
    ask = WindowAsk(mel=hearing.mel.window(seek, seek + frames), options=hearing.window_options(context), frames=frames)
    hypothesis = yield ask
    assert hypothesis is not None, "a stretch is sent the hypothesis of what it asked"
    context.is_first = False
    if context.language is None:
        context.language = hypothesis.language
        context.language_probability = hypothesis.language_probs.get(hypothesis.language or "")
    if hypothesis.is_silence:
        yield Dropped(
            start_s=seek / FRAMES_PER_S,
            end_s=(seek + frames) / FRAMES_PER_S,
            reason="no_speech",
            text=hypothesis.text,
        )
        return seek + frames
    return (yield from _take_window(hearing, context, hypothesis, seek, frames))


def _take_window(
    hearing: Hearing, context: Context, hypothesis: Hypothesis, seek: int, frames: int
) -> Generator[Segment | Dropped, None, int]:
    """A window's segments; returns where the next one starts."""
    options, tokenizer = hearing.options, hearing.tokenizer
    begin = tokenizer.special.timestamp_begin
    decoded, advance = split_at_timestamps(hypothesis.tokens, begin, seek_frames=seek, window_frames=frames)
    after = seek + (advance or frames)  # a window that advances nothing would be decoded for ever
    spans = [WordedSpan(start_s=it.start_s, end_s=it.end_s, tokens=it.tokens) for it in decoded]
    if hypothesis.attention is not None:
        spans = _timed(hearing, context, hypothesis, decoded, seek, frames)
        last_s = last_word_end(spans)
        is_ended_by_time = hypothesis.tokens[-2:-1] and hypothesis.tokens[-2] < begin <= hypothesis.tokens[-1]
        if not is_ended_by_time and last_s is not None and last_s * FRAMES_PER_S > seek:
            after = max(round(last_s * FRAMES_PER_S), seek + 1)
        if (threshold_s := options.hallucination_silence_threshold_s) is not None:
            if not is_ended_by_time and last_s is not None and last_s * FRAMES_PER_S > seek:
                window_end_s = (seek + WINDOW_FRAMES) / FRAMES_PER_S
                after = after if window_end_s - last_s > threshold_s else seek + frames
            kept, again = without_hallucinations(
                spans,
                threshold_s=threshold_s,
                seek_frames=seek,
                window_frames=frames,
                content_frames=hearing.mel.content_frames,
                last_speech_s=context.last_speech_s,
            )
            for span in spans[len(kept) :] if again is not None else ():
                yield _dropped(tokenizer, span, "hallucination")
            spans, after = kept, after if again is None else max(again, seek + 1)
        if (last_s := last_word_end(spans)) is not None:
            context.last_speech_s = last_s
    logprobs = iter(hypothesis.token_logprobs)
    for span in spans:
        # the tokens first: a zip that ends takes one too many from what stands before
        own = tuple(logprob for _, logprob in zip(span.tokens, logprobs, strict=False))
        text = tokenizer.decode(span.tokens)
        if span.start_s == span.end_s or not text.strip():
            if text.strip():
                yield _dropped(tokenizer, span, "empty")
            continue
        heard = hearing.voice
        if heard is not None and not heard.is_heard(*(round(s * FRAMES_PER_S) for s in (span.start_s, span.end_s))):
            yield _dropped(tokenizer, span, "no_voice")
            continue
        context.tokens += span.tokens
        if heard is not None and not span.words:  # the model hears where words are, and guesses where silence ends
            start_s, end_s = heard.tightened(span.start_s, span.end_s)
            span = replace(span, start_s=start_s, end_s=end_s)
        yield _segment(hypothesis, span, seek, text, own)
    if not options.condition_on_previous_text or hypothesis.temperature > options.prompt_reset_on_temperature:
        context.prompt_from = len(context.tokens)
    return after


def _timed(
    hearing: Hearing, context: Context, hypothesis: Hypothesis, spans: list[Span], seek: int, frames: int
) -> list[WordedSpan]:
    assert hypothesis.attention is not None
    eot = hearing.tokenizer.special.eot
    texts = [[token for token in span.tokens if token < eot] for span in spans]
    n_tokens = sum(len(span.tokens) for span in spans)
    logprobs = [
        logprob
        for token, logprob in zip(hypothesis.tokens[:n_tokens], hypothesis.token_logprobs, strict=False)
        if token < eot
    ]
    options = hearing.options
    language = "en" if options.task == "translate" else hypothesis.language or context.language
    timings = align_words(
        hypothesis.attention,
        hypothesis.aligned_row,
        texts,
        logprobs,
        hearing.tokenizer,
        language=language,
        n_frames=frames,
    )
    return words_of_segments(
        spans,
        timings,
        seek_frames=seek,
        window_frames=frames,
        last_speech_s=context.last_speech_s,
        prepended=options.prepend_punctuations,
        appended=options.append_punctuations,
    )


def _dropped(tokenizer: Tokenizer, span: Span, reason: str) -> Dropped:
    return Dropped(start_s=span.start_s, end_s=span.end_s, reason=reason, text=tokenizer.decode(span.tokens).strip())


def _segment(hypothesis: Hypothesis, span: WordedSpan, seek: int, text: str, logprobs: tuple[float, ...]) -> Segment:
    return Segment(
        id=0,
        seek_s=seek / FRAMES_PER_S,
        start_s=span.start_s,
        end_s=span.end_s,
        text=text,
        tokens=span.tokens,
        temperature=hypothesis.temperature,
        avg_logprob=hypothesis.avg_logprob,
        compression_ratio=hypothesis.compression_ratio,
        no_speech_prob=hypothesis.no_speech_prob,
        words=span.words,
        token_logprobs=logprobs,
        retries=tuple(Retry(temperature=it.temperature, reason=it.rejected_for) for it in hypothesis.attempts[:-1]),
        is_cut=hypothesis.is_cut,
        language=hypothesis.language,
    )


def numbered(segment: Segment, number: int) -> Segment:
    return replace(segment, id=number)
