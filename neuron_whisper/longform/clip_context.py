"""What the windows of a clip share, and what is passed from one to the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from neuron_whisper.audio.mel import LogMel
from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.decode.window import DecodingResult
from neuron_whisper.decode.window_options import WindowOptions, create_window_options
from neuron_whisper.longform.coverage import MIN_SILENT_S, list_spans
from neuron_whisper.longform.speech_map import SpeechMap
from neuron_whisper.text.tokenizer import Tokenizer


@dataclass(slots=True, kw_only=True)
class PromptState:
    """State passed from window to window. `tokens` are the text so far, initial prompt included.

    `max_frames`: the next window is shorter, since the text of a longer one was cut. `unheard_frames` before the next
    window have neither text nor a reason yet. `second_tries` are the stretches that may be decoded again now, a
    fraction of the windows unless it helps. `language_probs` are those of the languages that were detected, in the
    first window of each. `warnings` are sentences for the user and `sparse_spans` the seconds of segments with too
    little text, one list each for all regions of a clip; `given_prompt_tokens` counts those of the prompt and the
    hotwords that are used in the first window.
    """

    language: str | None
    language_probs: dict[str, float] = field(default_factory=dict)
    tokens: list[int] = field(default_factory=list)
    initial_tokens: tuple[int, ...] = ()
    given_prompt_tokens: int = 0
    prompt_reset_since: int = 0
    last_speech_s: float = 0.0
    is_first: bool = True
    max_frames: int | None = None
    unheard_frames: int = 0
    second_tries: float = 1.0
    warnings: list[str] = field(default_factory=list)
    sparse_spans: list[tuple[float, float]] = field(default_factory=list)

    @property
    def language_probability(self) -> float | None:
        """The probability with which `language` was detected; None: it was given."""
        return self.language_probs.get(self.language or "")

    def note_language(self, result: DecodingResult) -> None:
        """Takes the language of a window's text, if none was given or detected before it."""
        if result.language and result.language in result.language_probs:
            self.language_probs.setdefault(result.language, result.language_probs[result.language])
        self.language = self.language or result.language

    def list_warnings(self) -> tuple[str, ...]:
        """Lists the sentences for the user, with one for all segments that have too little text."""
        if not self.sparse_spans:
            return tuple(self.warnings)
        spans = list_spans(sorted(self.sparse_spans))
        return (*self.warnings, f"there is more speech than text at {spans}: words may be missing")

    def restore(self, before: PromptState) -> None:
        """Takes the text of a window back; `before` is a copy of the state from before it."""
        self.tokens, self.prompt_reset_since = before.tokens, before.prompt_reset_since
        self.last_speech_s = before.last_speech_s


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipContext:
    """Data shared by all regions of a clip. `speech_map` None: voice activity detection is off.

    `detect_speech` finds the speech then, where audio is without text: it changes no text, but it is told of.
    `tries_again`: speech without text is decoded a second time, which takes more than one window at a time.
    """

    mel: LogMel
    options: TranscribeOptions
    tokenizer: Tokenizer
    speech_map: SpeechMap | None
    detect_speech: Callable[[], SpeechMap | None] = lambda: None
    tries_again: bool = True

    @property
    def detects_every_language(self) -> bool:
        """Whether the language is detected in every window."""
        return self.options.multilingual and not self.options.language

    def measure_speech(self, start_s: float, end_s: float) -> float:
        """Measures the seconds of speech between these two; 0 where that is not known."""
        speech_map = self.speech_map
        if speech_map is None and end_s - start_s >= MIN_SILENT_S:
            speech_map = self.detect_speech()
        return speech_map.measure_speech(start_s, end_s) if speech_map is not None else 0.0

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
        carried = prompt_state.initial_tokens if options.carry_initial_prompt else ()
        since = max(len(carried), prompt_state.prompt_reset_since)
        return create_window_options(
            options,
            language=None if self.detects_every_language else prompt_state.language,
            prompt=tuple(prompt_state.tokens[since:]),
            carried_prompt=carried,
            prefix=self._encode_prefix() if prompt_state.is_first else (),
            include_prefix=True,
            hotwords=self._encode_text(options.hotwords),
            suppress_tokens=frozenset(self.tokenizer.get_suppress_tokens(options.suppress_tokens)),
        )
