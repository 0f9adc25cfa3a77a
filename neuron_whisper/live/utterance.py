"""One utterance on its way: its windows, their final text, and the partial text before it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.audio.clip import HOP_SAMPLES, SAMPLE_RATE, WINDOW_SAMPLES
from neuron_whisper.audio.mel import LogMel
from neuron_whisper.decode.window import DecodingResult, WindowRequest
from neuron_whisper.live.events import FinalText, PartialText, TextPiece
from neuron_whisper.live.local_agreement import LocalAgreement
from neuron_whisper.live.options import LiveOptions
from neuron_whisper.longform.plan import FRAMES_PER_S
from neuron_whisper.longform.region import ClipContext, PromptState, decode_window, with_id
from neuron_whisper.longform.speech_map import SpeechMap
from neuron_whisper.text.tokenizer import REPLACEMENT_CHARACTER, Tokenizer
from neuron_whisper.transcript import Segment, SkippedRegion

MIN_PARTIAL_TOKENS, PARTIAL_TOKENS_PER_S = 16, 8  # of partial text: fast speech has 6 a second, a loop has no end
MIN_LANGUAGE_SAMPLES = 3 * SAMPLE_RATE  # of audio from which the language of partial text is not asked again

_WindowGenerator: TypeAlias = Generator[WindowRequest | Segment | SkippedRegion, DecodingResult | None, int]


@dataclass(slots=True, kw_only=True)
class Utterance:
    """Positions are samples from the session's first; `end` None: it goes on. `seek` is where the next window starts.

    `speech_start` is where the voice was first heard, `last_partial_at` how far the last partial hypothesis was asked.
    """

    number: int
    options: LiveOptions
    tokenizer: Tokenizer
    n_mels: int
    start: int
    seek: int
    end: int | None = None
    speech_start: int | None = None
    last_partial_at: int | None = None
    agreement: LocalAgreement = field(default_factory=LocalAgreement)
    segments: list[Segment] = field(default_factory=list)
    skipped: list[SkippedRegion] = field(default_factory=list)
    pieces: list[TextPiece] = field(default_factory=list)
    prompt_state: PromptState = field(init=False)
    _window: _WindowGenerator | None = None
    _detected_language: str | None = None
    _last_emitted: tuple[int, str] = (0, "")

    def __post_init__(self) -> None:
        hearing = self._build_clip_context(np.empty(0, np.float32), None)
        initial = hearing.encode_initial_prompt()
        language = self.options.transcribe.language if self.tokenizer.special.is_multilingual else "en"
        self.prompt_state = PromptState(language=language, tokens=list(initial), initial_tokens=initial)

    @property
    def is_decoding(self) -> bool:
        """Whether a window of the final text waits for its answer."""
        return self._window is not None

    def _build_clip_context(self, samples: NDArray[np.float32], speech_map: SpeechMap | None) -> ClipContext:
        mel = LogMel.from_samples(samples, self.n_mels)
        return ClipContext(mel=mel, options=self.options.transcribe, tokenizer=self.tokenizer, speech_map=speech_map)

    # --- final text -------------------------------------------------------------------------------

    def begin_window(self, samples: NDArray[np.float32], speech_map: SpeechMap | None) -> WindowRequest | None:
        """Decode the window from `seek` on, which holds these samples; None: it was none worth decoding."""
        hearing = self._build_clip_context(samples, speech_map)
        self._window = decode_window(
            hearing, self.prompt_state, 0, hearing.mel.content_frames, is_remainder=self.seek > self.start
        )
        return self._run_window(None)

    def end_window(self, result: DecodingResult) -> None:
        """The window's answer."""
        ask = self._run_window(result)
        assert ask is None, "a window is asked once"

    def _run_window(self, result: DecodingResult | None) -> WindowRequest | None:
        assert self._window is not None
        offset_s = self.seek / SAMPLE_RATE
        first_new = len(self.segments)
        while True:
            try:
                item = self._window.send(result)
            except StopIteration as done:
                frames: int = done.value
                break
            result = None
            match item:
                case WindowRequest():
                    return item
                case Segment():
                    self.segments.append(with_id(shift_segment(item, offset_s), len(self.segments)))
                case SkippedRegion():
                    self.skipped.append(replace(item, start_s=item.start_s + offset_s, end_s=item.end_s + offset_s))
        self._window = None
        self.prompt_state.last_speech_s -= frames / FRAMES_PER_S
        self.seek += frames * HOP_SAMPLES
        new = [piece for segment in self.segments[first_new:] for piece in self._split_segment(segment)]
        self.pieces += new
        self.agreement.finalize_window(new, is_complete=self._is_fully_decoded)
        return None

    @property
    def _is_fully_decoded(self) -> bool:
        """Whether the windows so far hold all that partial text was made from."""
        heard = self.end if self.end is not None else self.last_partial_at
        return heard is None or self.seek + HOP_SAMPLES > heard

    @property
    def is_done(self) -> bool:
        """Whether it has ended, and no window is left of it."""
        return self.end is not None and self._window is None and self.seek + HOP_SAMPLES > self.end

    def build_final(self) -> FinalText:
        """What was said, once it is done."""
        assert self.end is not None
        spoken = self.prompt_state.tokens[len(self.prompt_state.initial_tokens) :]
        return FinalText(
            utterance=self.number,
            start_s=self.start / SAMPLE_RATE,
            end_s=self.end / SAMPLE_RATE,
            text=self.tokenizer.decode(spoken).strip(),
            segments=tuple(self.segments),
            skipped=tuple(self.skipped),
            pieces=tuple(self.pieces),
            emitted=tuple(self.agreement.stable),
            language=self.prompt_state.language or "en",
            language_probability=self.prompt_state.language_probability,
        )

    # --- partial text -----------------------------------------------------------------------------

    def build_partial_request(self, samples: NDArray[np.float32], max_prefix_tokens: int) -> WindowRequest | None:
        """A window of what was heard since `seek`; None where more is told already than a window may begin with."""
        prefix = self.agreement.prefix_tokens
        if len(prefix) > max_prefix_tokens or len(samples) > WINDOW_SAMPLES:
            return None
        hearing = self._build_clip_context(samples, None)
        options = self.options.transcribe
        language = self.prompt_state.language or (
            self._detected_language if len(samples) >= MIN_LANGUAGE_SAMPLES else None
        )
        window = replace(
            hearing.build_window_options(self.prompt_state),
            language=language,
            prefix=prefix,
            include_prefix=False,
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
            max_new_tokens=min(224, MIN_PARTIAL_TOKENS + PARTIAL_TOKENS_PER_S * len(samples) // SAMPLE_RATE),
        )
        return WindowRequest(mel=hearing.mel.cut_window(0), options=window, frames=hearing.mel.content_frames)

    def on_partial_result(self, result: DecodingResult) -> PartialText | None:
        """A partial hypothesis's answer; None where there is nothing new to tell."""
        options = self.options.transcribe
        limit = options.compression_ratio_threshold
        self._detected_language = result.language or self._detected_language
        if result.is_silence or (limit is not None and result.compression_ratio > limit):
            return None
        language = result.language or self.prompt_state.language
        pieces = split_pieces(self.tokenizer, result.tokens, result.token_logprobs, language)
        while pieces and REPLACEMENT_CHARACTER in pieces[-1].text:
            pieces.pop()  # a character whose last bytes are still to come
        self.agreement.add_hypothesis(pieces)
        shown = len(self.agreement.stable), "".join(piece.text for piece in self.agreement.unstable)
        if shown == self._last_emitted:
            return None
        self._last_emitted = shown
        return self.build_partial(language)

    def build_partial(self, language: str | None = None) -> PartialText:
        return PartialText(
            utterance=self.number,
            start_s=self.start / SAMPLE_RATE,
            end_s=(self.last_partial_at or self.start) / SAMPLE_RATE,
            stable=tuple(self.agreement.stable),
            unstable=tuple(self.agreement.unstable),
            language=language or self.prompt_state.language,
        )

    def _split_segment(self, segment: Segment) -> list[TextPiece]:
        return split_pieces(self.tokenizer, segment.tokens, segment.token_logprobs, self.prompt_state.language)


def split_pieces(
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


def shift_segment(segment: Segment, by_s: float) -> Segment:
    """The same, so many seconds later."""
    words = tuple(replace(word, start_s=word.start_s + by_s, end_s=word.end_s + by_s) for word in segment.words)
    return replace(
        segment, seek_s=segment.seek_s + by_s, start_s=segment.start_s + by_s, end_s=segment.end_s + by_s, words=words
    )
