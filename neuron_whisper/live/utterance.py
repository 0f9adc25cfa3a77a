"""One utterance on its way: its windows, their final text, and the partial text before it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.audio.clip import HOP_SAMPLES, SAMPLE_RATE, WINDOW_SAMPLES
from neuron_whisper.audio.mel import LogMel
from neuron_whisper.decode.window import Hypothesis, WindowAsk
from neuron_whisper.live.events import Final, Partial, TextPiece
from neuron_whisper.live.local_agreement import Agreement
from neuron_whisper.live.options import LiveOptions
from neuron_whisper.longform.plan import FRAMES_PER_S
from neuron_whisper.longform.region import Context, Hearing, decode_window, numbered
from neuron_whisper.longform.speech_map import Voice
from neuron_whisper.text.tokenizer import REPLACEMENT, Tokenizer
from neuron_whisper.transcript import Dropped, Segment

TOKENS_AT_LEAST, TOKENS_PER_S = 16, 8  # of partial text: fast speech has 6 a second, a loop has no end
SURE_FROM_SAMPLES = 3 * SAMPLE_RATE  # of audio from which the language of partial text is not asked again

_Window: TypeAlias = Generator[WindowAsk | Segment | Dropped, Hypothesis | None, int]


@dataclass(slots=True, kw_only=True)
class Utterance:
    """Positions are samples from the session's first; `end` None: it goes on. `seek` is where the next window starts.

    `spoken_from` is where the voice was first heard, `asked_at` how far the last partial hypothesis was asked.
    """

    number: int
    options: LiveOptions
    tokenizer: Tokenizer
    n_mels: int
    start: int
    seek: int
    end: int | None = None
    spoken_from: int | None = None
    asked_at: int | None = None
    agreement: Agreement = field(default_factory=Agreement)
    segments: list[Segment] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    pieces: list[TextPiece] = field(default_factory=list)
    context: Context = field(init=False)
    _window: _Window | None = None
    _heard_language: str | None = None
    _shown: tuple[int, str] = (0, "")

    def __post_init__(self) -> None:
        hearing = self._hearing(np.empty(0, np.float32), None)
        initial = hearing.initial_tokens()
        language = self.options.transcribe.language if self.tokenizer.special.is_multilingual else "en"
        self.context = Context(language=language, tokens=list(initial), initial=initial)

    @property
    def is_decoding(self) -> bool:
        """Whether a window of the final text waits for its answer."""
        return self._window is not None

    def _hearing(self, samples: NDArray[np.float32], voice: Voice | None) -> Hearing:
        mel = LogMel.of(samples, self.n_mels)
        return Hearing(mel=mel, options=self.options.transcribe, tokenizer=self.tokenizer, voice=voice)

    # --- final text -------------------------------------------------------------------------------

    def begin_window(self, samples: NDArray[np.float32], voice: Voice | None) -> WindowAsk | None:
        """Decode the window from `seek` on, which holds these samples; None: it was none worth decoding."""
        hearing = self._hearing(samples, voice)
        self._window = decode_window(
            hearing, self.context, 0, hearing.mel.content_frames, is_rest=self.seek > self.start
        )
        return self._run(None)

    def end_window(self, hypothesis: Hypothesis) -> None:
        """The window's answer."""
        ask = self._run(hypothesis)
        assert ask is None, "a window is asked once"

    def _run(self, answer: Hypothesis | None) -> WindowAsk | None:
        assert self._window is not None
        offset_s = self.seek / SAMPLE_RATE
        first_new = len(self.segments)
        while True:
            try:
                item = self._window.send(answer)
            except StopIteration as done:
                frames: int = done.value
                break
            answer = None
            match item:
                case WindowAsk():
                    return item
                case Segment():
                    self.segments.append(numbered(moved(item, offset_s), len(self.segments)))
                case Dropped():
                    self.dropped.append(replace(item, start_s=item.start_s + offset_s, end_s=item.end_s + offset_s))
        self._window = None
        self.context.last_speech_s -= frames / FRAMES_PER_S
        self.seek += frames * HOP_SAMPLES
        new = [piece for segment in self.segments[first_new:] for piece in self._pieces_of(segment)]
        self.pieces += new
        self.agreement.settle(new, is_all=self._is_spent)
        return None

    @property
    def _is_spent(self) -> bool:
        """Whether the windows so far hold all that partial text was made from."""
        heard = self.end if self.end is not None else self.asked_at
        return heard is None or self.seek + HOP_SAMPLES > heard

    @property
    def is_done(self) -> bool:
        """Whether it has ended, and no window is left of it."""
        return self.end is not None and self._window is None and self.seek + HOP_SAMPLES > self.end

    def final(self) -> Final:
        """What was said, once it is done."""
        assert self.end is not None
        spoken = self.context.tokens[len(self.context.initial) :]
        return Final(
            utterance=self.number,
            start_s=self.start / SAMPLE_RATE,
            end_s=self.end / SAMPLE_RATE,
            text=self.tokenizer.decode(spoken).strip(),
            segments=tuple(self.segments),
            dropped=tuple(self.dropped),
            pieces=tuple(self.pieces),
            told=tuple(self.agreement.stable),
            language=self.context.language or "en",
            language_probability=self.context.language_probability,
        )

    # --- partial text -----------------------------------------------------------------------------

    def partial_ask(self, samples: NDArray[np.float32], longest_prefix: int) -> WindowAsk | None:
        """A window of what was heard since `seek`; None where more is told already than a window may begin with."""
        prefix = self.agreement.prefix
        if len(prefix) > longest_prefix or len(samples) > WINDOW_SAMPLES:
            return None
        hearing = self._hearing(samples, None)
        options = self.options.transcribe
        language = self.context.language or (self._heard_language if len(samples) >= SURE_FROM_SAMPLES else None)
        window = replace(
            hearing.window_options(self.context),
            language=language,
            prefix=prefix,
            tells_prefix=False,
            # behind words that were said, nothing may follow
            suppress_blank=options.suppress_blank and not prefix,
            without_timestamps=True,
            temperatures=(0.0,),
            beam_size=None,
            patience=None,
            best_of=None,
            word_timestamps=False,
            compression_ratio_threshold=None,
            repetition_cut=False,
            max_new_tokens=min(224, TOKENS_AT_LEAST + TOKENS_PER_S * len(samples) // SAMPLE_RATE),
        )
        return WindowAsk(mel=hearing.mel.window(0), options=window, frames=hearing.mel.content_frames)

    def take_partial(self, hypothesis: Hypothesis) -> Partial | None:
        """A partial hypothesis's answer; None where there is nothing new to tell."""
        options = self.options.transcribe
        limit = options.compression_ratio_threshold
        self._heard_language = hypothesis.language or self._heard_language
        if hypothesis.is_silence or (limit is not None and hypothesis.compression_ratio > limit):
            return None
        language = hypothesis.language or self.context.language
        pieces = pieces_of(self.tokenizer, hypothesis.tokens, hypothesis.token_logprobs, language)
        while pieces and REPLACEMENT in pieces[-1].text:
            pieces.pop()  # a character whose last bytes are still to come
        self.agreement.hear(pieces)
        shown = len(self.agreement.stable), "".join(piece.text for piece in self.agreement.unstable)
        if shown == self._shown:
            return None
        self._shown = shown
        return self.partial(language)

    def partial(self, language: str | None = None) -> Partial:
        return Partial(
            utterance=self.number,
            start_s=self.start / SAMPLE_RATE,
            end_s=(self.asked_at or self.start) / SAMPLE_RATE,
            stable=tuple(self.agreement.stable),
            unstable=tuple(self.agreement.unstable),
            language=language or self.context.language,
        )

    def _pieces_of(self, segment: Segment) -> list[TextPiece]:
        return pieces_of(self.tokenizer, segment.tokens, segment.token_logprobs, self.context.language)


def pieces_of(
    tokenizer: Tokenizer, tokens: Sequence[int], logprobs: Sequence[float], language: str | None
) -> list[TextPiece]:
    """The words of the text tokens; timestamps are left out."""
    eot = tokenizer.special.eot
    paired = [(token, logprob) for token, logprob in zip(tokens, logprobs, strict=False) if token < eot]
    texts, groups = tokenizer.split_to_word_tokens([token for token, _ in paired], language)
    pieces, done = [], 0
    for text, group in zip(texts, groups, strict=True):
        own = tuple(logprob for _, logprob in paired[done : done + len(group)])
        pieces.append(TextPiece(text=text, tokens=tuple(group), logprobs=own))
        done += len(group)
    return pieces


def moved(segment: Segment, by_s: float) -> Segment:
    """The same, so many seconds later."""
    words = tuple(replace(word, start_s=word.start_s + by_s, end_s=word.end_s + by_s) for word in segment.words)
    return replace(
        segment, seek_s=segment.seek_s + by_s, start_s=segment.start_s + by_s, end_s=segment.end_s + by_s, words=words
    )
