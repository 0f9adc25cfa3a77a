"""One utterance in progress: its windows, their final text, and the partial text before it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.audio.clip import FRAMES_PER_SECOND, HOP_SAMPLES, SAMPLE_RATE, WINDOW_SAMPLES
from neuron_whisper.audio.mel import LogMel
from neuron_whisper.decode.alignment import split_words
from neuron_whisper.decode.language import resolve_language, warn_of_detection
from neuron_whisper.decode.prompt import PromptLimits
from neuron_whisper.decode.window import DecodingResult, WindowRequest
from neuron_whisper.live.events import FinalText, PartialText, TextPiece
from neuron_whisper.live.local_agreement import LocalAgreement
from neuron_whisper.live.options import LiveOptions
from neuron_whisper.longform.clip_context import ClipContext, PromptState
from neuron_whisper.longform.prompt_use import measure_prompt_use
from neuron_whisper.longform.region import decode_window
from neuron_whisper.longform.speech_map import SpeechMap
from neuron_whisper.longform.window_result import with_id
from neuron_whisper.text.tokenizer import REPLACEMENT_CHARACTER, Tokenizer
from neuron_whisper.text.word_splitting import WHOLE
from neuron_whisper.transcript import Segment, SkippedRegion, is_silence

MIN_PARTIAL_TOKENS, PARTIAL_TOKENS_PER_S = 16, 8  # of partial text: fast speech has 6 a second, a loop has no end
MIN_LANGUAGE_SAMPLES = 3 * SAMPLE_RATE  # from this much audio on, the language detected for partial text is kept

_WindowGenerator: TypeAlias = Generator[WindowRequest | Segment | SkippedRegion, DecodingResult | None, int]


@dataclass(slots=True, kw_only=True)
class Utterance:
    """Positions are samples from the session's first; `end` None: still open. `seek` is where the next window starts.

    `speech_start` is where speech was first detected, `last_partial_at` the end of the last partial request.
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
    prompt_limits: PromptLimits = field(default_factory=PromptLimits)
    agreement: LocalAgreement = field(default_factory=LocalAgreement)
    segments: list[Segment] = field(default_factory=list)
    skipped: list[SkippedRegion] = field(default_factory=list)
    pieces: list[TextPiece] = field(default_factory=list)
    prompt_state: PromptState = field(init=False)
    _window: _WindowGenerator | None = None
    _detected_language: str | None = None
    _last_emitted: tuple[int, str] = (0, "")

    def __post_init__(self) -> None:
        clip = self._build_clip_context(np.empty(0, np.float32), None)
        initial = clip.encode_initial_prompt()
        language = resolve_language(self.options.transcribe, self.tokenizer)
        self.prompt_state = PromptState(language=language, tokens=list(initial), initial_tokens=initial)
        self.prompt_state.warnings += measure_prompt_use(clip, self.prompt_state, self.prompt_limits).warnings
        self.prompt_state.warnings += warn_of_detection(self.options.transcribe, self.tokenizer)

    @property
    def is_decoding(self) -> bool:
        """Whether a window of the final text is being decoded."""
        return self._window is not None

    def _build_clip_context(self, samples: NDArray[np.float32], speech_map: SpeechMap | None) -> ClipContext:
        mel = LogMel.from_samples(samples, self.n_mels)
        return ClipContext(
            mel=mel,
            options=self.options.transcribe,
            tokenizer=self.tokenizer,
            speech_map=speech_map,
            tries_again=False,
        )

    # --- final text -------------------------------------------------------------------------------

    def begin_window(self, samples: NDArray[np.float32], speech_map: SpeechMap | None) -> WindowRequest | None:
        """Begins the window from `seek` on, with these samples; None: it needs no decoding."""
        clip = self._build_clip_context(samples, speech_map)
        self._window = decode_window(
            clip, self.prompt_state, 0, clip.mel.content_frames, is_remainder=self.seek > self.start
        )
        return self._run_window(None)

    def end_window(self, result: DecodingResult) -> None:
        """Takes the window's result."""
        request = self._run_window(result)
        assert request is None, "a window is decoded once"

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
        self.prompt_state.last_speech_s -= frames / FRAMES_PER_SECOND
        self.seek += frames * HOP_SAMPLES
        new = [piece for segment in self.segments[first_new:] for piece in self._split_segment(segment)]
        self.pieces += new
        self.agreement.finalize_window(new, is_complete=self._is_fully_decoded)
        return None

    @property
    def _is_fully_decoded(self) -> bool:
        """Whether the windows so far cover all audio of the partial text."""
        end = self.end if self.end is not None else self.last_partial_at
        return end is None or self.seek + HOP_SAMPLES > end

    @property
    def is_done(self) -> bool:
        """Whether it has ended and all its windows are decoded."""
        return self.end is not None and self._window is None and self.seek + HOP_SAMPLES > self.end

    def build_final(self) -> FinalText:
        """Builds the final text, once it is done."""
        assert self.end is not None
        text_tokens = self.prompt_state.tokens[len(self.prompt_state.initial_tokens) :]
        is_silent = is_silence(self.segments, self.skipped)
        language = None if is_silent and not self.options.transcribe.language else self.prompt_state.language
        return FinalText(
            utterance=self.number,
            start_s=self.start / SAMPLE_RATE,
            end_s=self.end / SAMPLE_RATE,
            text=self.tokenizer.decode(text_tokens).strip(),
            segments=tuple(self.segments),
            skipped=tuple(self.skipped),
            pieces=tuple(self.pieces),
            emitted=tuple(self.agreement.stable),
            language=language,
            language_probability=self.prompt_state.language_probability,
            warnings=tuple(self.prompt_state.warnings),
        )

    # --- partial text -----------------------------------------------------------------------------

    def build_partial_request(self, samples: NDArray[np.float32], max_prefix_tokens: int) -> WindowRequest | None:
        """Builds the request for the samples since `seek`; None if the stable text is too long for a prefix."""
        prefix = self.agreement.prefix_tokens
        if len(prefix) > max_prefix_tokens or len(samples) > WINDOW_SAMPLES:
            return None
        clip = self._build_clip_context(samples, None)
        options = self.options.transcribe
        language = self.prompt_state.language or (
            self._detected_language if len(samples) >= MIN_LANGUAGE_SAMPLES else None
        )
        window = replace(
            clip.build_window_options(self.prompt_state),
            language=language,
            prefix=prefix,
            include_prefix=False,
            # after a prefix the text may end
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
        return WindowRequest(mel=clip.mel.cut_window(0), options=window, frames=clip.mel.content_frames)

    def on_partial_result(self, result: DecodingResult) -> PartialText | None:
        """Takes the result of a partial request; None if the text did not change."""
        options = self.options.transcribe
        limit = options.compression_ratio_threshold
        self._detected_language = result.language or self._detected_language
        if result.is_silence or (limit is not None and result.compression_ratio > limit):
            return None
        language = result.language or self.prompt_state.language
        splitting = options.word_splitting
        pieces = split_pieces(self.tokenizer, result.tokens, result.token_logprobs, language, splitting)
        while pieces and REPLACEMENT_CHARACTER in pieces[-1].text:
            pieces.pop()  # a character that is not complete yet
        self.agreement.add_hypothesis(pieces)
        emitted = len(self.agreement.stable), "".join(piece.text for piece in self.agreement.unstable)
        if emitted == self._last_emitted:
            return None
        self._last_emitted = emitted
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
        splitting = self.options.transcribe.word_splitting
        return split_pieces(
            self.tokenizer, segment.tokens, segment.token_logprobs, self.prompt_state.language, splitting
        )


def split_pieces(
    tokenizer: Tokenizer,
    tokens: Sequence[int],
    logprobs: Sequence[float],
    language: str | None,
    splitting: str = WHOLE,
) -> list[TextPiece]:
    """Splits text tokens into words; timestamps are left out."""
    eot = tokenizer.special.eot
    paired = [(token, logprob) for token, logprob in zip(tokens, logprobs, strict=False) if token < eot]
    pieces, done = [], 0
    for text, group in split_words(tokenizer, [token for token, _ in paired], language, splitting):
        piece_logprobs = tuple(logprob for _, logprob in paired[done : done + len(group)])
        pieces.append(TextPiece(text=text, tokens=tuple(group), logprobs=piece_logprobs))
        done += len(group)
    return pieces


def shift_segment(segment: Segment, by_s: float) -> Segment:
    """Moves a segment and its words by `by_s` seconds."""
    words = tuple(replace(word, start_s=word.start_s + by_s, end_s=word.end_s + by_s) for word in segment.words)
    return replace(
        segment, seek_s=segment.seek_s + by_s, start_s=segment.start_s + by_s, end_s=segment.end_s + by_s, words=words
    )
