"""LiveStateMachine: samples in, windows to decode and events out. Pure: no device, no clock, no waiting.

Not a generator as the plans of clips are: samples and answers come in any order.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.audio.clip import HOP_SAMPLES, SAMPLE_RATE, WINDOW_SAMPLES
from neuron_whisper.audio.silero import CHUNK_SAMPLES
from neuron_whisper.audio.speech import MIN_THRESHOLD
from neuron_whisper.decode.window import DecodingResult, WindowRequest
from neuron_whisper.errors import InvalidOption
from neuron_whisper.live.audio_buffer import AudioBuffer
from neuron_whisper.live.events import LiveEvent, SpeechStarted, SpeechStopped, UtteranceCommitted, UtteranceFailed
from neuron_whisper.live.options import LiveOptions
from neuron_whisper.live.turns import TurnTracker, ms_to_samples
from neuron_whisper.live.utterance import Utterance
from neuron_whisper.longform.speech_map import SpeechMap
from neuron_whisper.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeAction:
    """Decode this window, then `receive` its hypothesis or `fail`. What is partial may be given up where there is
    no room; the rest is the words that somebody waits for.
    """

    request_id: int
    request: WindowRequest
    is_partial: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelAction:
    """Nobody wants the window any more."""

    request_id: int


class VoiceDetector(Protocol):
    """SpeechStream."""

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """The probability of speech in each 512 samples that are whole now."""


Action: TypeAlias = DecodeAction | CancelAction | LiveEvent


class LiveStateMachine:
    """One speaker's utterances, one after another. For one thread; every call returns what is to be done.

    A window of 30 s of an utterance that goes on is decoded as soon as it is full, and its audio let go: an
    utterance may be of any length. How samples are cut into pieces changes no final text. There is at most one
    partial hypothesis on its way, and none is asked while `skips_partials` is set: they never queue up.
    """

    def __init__(
        self,
        options: LiveOptions,
        tokenizer: Tokenizer,
        speech: VoiceDetector | None,
        *,
        n_mels: int,
        max_prefix_tokens: int,
    ) -> None:
        """Raises InvalidOption for a language that the model does not know, or turns without a voice detector."""
        self._tokenizer, self._n_mels, self._max_prefix_tokens = tokenizer, n_mels, max_prefix_tokens
        self._audio, self._turn_tracker = AudioBuffer(), TurnTracker()
        self._speech = speech
        self._options = self._validate_options(options)
        self._vad_position = 0  # samples that the voice detector heard, or all
        self._last_utterance_end = 0  # where the last utterance ended
        self._last_voice_end = 0  # where voice was heard last
        self._open_utterance: Utterance | None = None
        self._pending: deque[Utterance] = deque()  # the open one is the last
        self._window_request_id: int | None = None
        self._partial_request: tuple[int, Utterance, int] | None = None  # ticket, whose, its seek
        self._partial_lag = 0  # samples that came while the last partial was decoded
        self._last_request_id = self._next_utterance = 0
        self.skips_partials = False

    def _validate_options(self, options: LiveOptions) -> LiveOptions:
        language, special = options.transcribe.language, self._tokenizer.special
        if not special.is_multilingual:
            self._tokenizer.sot_sequence(language, options.transcribe.task, timestamps=True)
        elif language is not None:
            self._tokenizer.to_language_token(language)
        if options.turn_detection is not None and self._speech is None:
            raise InvalidOption("turn_detection", "server_vad", "null: no voice detector is installed here")
        if options.turn_detection is not None:  # what began an utterance must not be silence to its final text
            vad = options.transcribe.vad
            threshold = max(MIN_THRESHOLD, min(vad.threshold, options.turn_detection.threshold))
            vad = replace(vad, threshold=threshold, neg_threshold=None)
            options = replace(options, transcribe=replace(options.transcribe, vad=vad))
        return options

    # --- what a driver asks -----------------------------------------------------------------------

    @property
    def fed_s(self) -> float:
        """Seconds of audio so far."""
        return self._audio.end / SAMPLE_RATE

    @property
    def buffered_s(self) -> float:
        """Seconds of utterances whose final text is not decoded yet."""
        return (self._audio.end - self._pending[0].seek) / SAMPLE_RATE if self._pending else 0.0

    @property
    def uncommitted_s(self) -> float:
        """Seconds since the last utterance ended."""
        return (self._audio.end - self._last_utterance_end) / SAMPLE_RATE

    @property
    def is_idle(self) -> bool:
        """Whether every utterance that ended has its final text."""
        return not self._pending or self._pending[0].end is None

    # --- what comes in ----------------------------------------------------------------------------

    def feed(self, samples: NDArray[np.float32]) -> list[Action]:
        """Samples at 16 kHz, any number of them."""
        self._audio.append(samples)
        steps: list[Action] = []
        if (
            self._options.turn_detection is None
            and self._open_utterance is None
            and self._audio.end > self._last_utterance_end
        ):
            self._begin_utterance(max(self._last_utterance_end, self._audio.start))
        if self._speech is None:
            self._vad_position = self._audio.end
        else:
            for probability in self._speech.push(samples).tolist():
                self._audio.append_probability(probability)
                self._vad_position += CHUNK_SAMPLES
                steps += self._on_vad_chunk(probability)
        return steps + self._next_actions()

    def update(self, options: LiveOptions) -> list[Action]:
        """Other options, from the next utterance on. Raises InvalidOption."""
        self._options = self._validate_options(options)
        self._turn_tracker.reset()
        self._turn_tracker.is_speaking = self._options.turn_detection is not None and self._open_utterance is not None
        return []

    def commit(self) -> list[Action]:
        """End the utterance here; where the voice detector heard none, one of the last moments, for its silence."""
        if self._open_utterance is None:
            self._begin_utterance(max(self._last_utterance_end, self._audio.start))
        return self._end_utterance(self._audio.end) + self._next_actions()

    def clear(self) -> list[Action]:
        """Forget what is not committed."""
        steps: list[Action] = []
        if self._open_utterance is not None:
            steps = self._discard(self._open_utterance)
        self._last_utterance_end = self._audio.end
        self._turn_tracker.reset()
        return steps + self._next_actions()

    def finish(self) -> list[Action]:
        """Nothing more will be fed: what was said is committed."""
        return (
            self.commit()
            if self._open_utterance is not None and self._audio.end - self._open_utterance.start >= HOP_SAMPLES
            else []
        )

    def receive(self, request_id: int, result: DecodingResult) -> list[Action]:
        """The answer to an Ask; to one that was cancelled it is nothing."""
        steps: list[Action] = []
        if request_id == self._window_request_id:
            self._window_request_id = None
            utterance = self._pending[0]
            told = len(utterance.agreement.stable)
            utterance.end_window(result)
            if utterance.end is None and utterance.options.partial_results and len(utterance.agreement.stable) > told:
                steps.append(utterance.build_partial())
        elif self._partial_request is not None and request_id == self._partial_request[0]:
            _, utterance, seek = self._partial_request
            self._partial_request = None
            assert utterance.last_partial_at is not None
            self._partial_lag = self._audio.end - utterance.last_partial_at
            if utterance is self._open_utterance and utterance.seek == seek:
                partial = utterance.on_partial_result(result)
                steps += [partial] if partial is not None else []
        else:
            return []
        return steps + self._next_actions()

    def fail(self, request_id: int, error: Exception) -> list[Action]:
        """An Ask has no answer. A partial one is not missed; an utterance without its final text has failed."""
        if self._partial_request is not None and request_id == self._partial_request[0]:
            self._partial_request = None
            return []
        if request_id != self._window_request_id:
            return []
        utterance = self._pending[0]
        self._window_request_id = None
        steps = self._discard(utterance)
        if utterance.end is None:  # what is said of it from now on is another one
            self._last_utterance_end = self._audio.end
            self._turn_tracker.reset()
        return [*steps, UtteranceFailed(utterance=utterance.number, error=error), *self._next_actions()]

    # --- utterances -------------------------------------------------------------------------------

    def _on_vad_chunk(self, probability: float) -> list[Action]:
        """The next 512 samples' probability."""
        turns = self._options.turn_detection
        start = self._vad_position - CHUNK_SAMPLES
        steps: list[Action] = []
        if turns is not None and self._turn_tracker.detect_start(probability, turns):
            begin = max(self._last_utterance_end, self._audio.start, start - ms_to_samples(turns.prefix_padding_ms))
            utterance = self._begin_utterance(begin)
            steps.append(SpeechStarted(utterance=utterance.number, start_s=begin / SAMPLE_RATE))
        is_voice = probability >= self._options.transcribe.vad.threshold
        if self._open_utterance is not None and is_voice:
            self._last_voice_end = self._vad_position
            if self._open_utterance.speech_start is None:
                self._open_utterance.speech_start = max(start, self._open_utterance.start)
        if turns is not None and self._turn_tracker.detect_end(probability, self._vad_position, turns):
            assert self._open_utterance is not None
            steps.append(SpeechStopped(utterance=self._open_utterance.number, end_s=self._vad_position / SAMPLE_RATE))
            steps += self._end_utterance(self._vad_position)
        return steps

    def _begin_utterance(self, start: int) -> Utterance:
        self._open_utterance = Utterance(
            number=self._next_utterance,
            options=self._options,
            tokenizer=self._tokenizer,
            n_mels=self._n_mels,
            start=start,
            seek=start,
            speech_start=start if self._speech is None else None,
        )
        self._next_utterance += 1
        self._pending.append(self._open_utterance)
        return self._open_utterance

    def _end_utterance(self, end: int) -> list[Action]:
        utterance = self._open_utterance
        assert utterance is not None
        steps = self._cancel_partial()
        utterance.end, self._open_utterance, self._last_utterance_end = end, None, end
        self._turn_tracker.reset()
        committed = UtteranceCommitted(
            utterance=utterance.number, start_s=utterance.start / SAMPLE_RATE, end_s=end / SAMPLE_RATE
        )
        return [*steps, committed]

    def _discard(self, utterance: Utterance) -> list[Action]:
        steps: list[Action] = []
        if utterance is self._pending[0] and self._window_request_id is not None:
            steps.append(CancelAction(request_id=self._window_request_id))
            self._window_request_id = None
        self._pending.remove(utterance)
        if utterance is self._open_utterance:
            steps += self._cancel_partial()
            self._open_utterance = None
        return steps

    def _cancel_partial(self) -> list[Action]:
        if self._partial_request is None:
            return []
        ticket, self._partial_request = self._partial_request[0], None
        return [CancelAction(request_id=ticket)]

    # --- windows ----------------------------------------------------------------------------------

    def _next_actions(self) -> list[Action]:
        """Ask what can be asked now, and let go of what nobody needs any more."""
        steps: list[Action] = []
        while self._pending and self._window_request_id is None:
            utterance = self._pending[0]
            if utterance.is_done:
                steps.append(utterance.build_final())
                self._pending.popleft()
                continue
            if utterance.end is None and self._vad_position - utterance.seek < WINDOW_SAMPLES:
                break
            if (ask := self._begin_window(utterance)) is not None:
                self._last_request_id += 1
                self._window_request_id = self._last_request_id
                if utterance is self._open_utterance:
                    steps += self._cancel_partial()
                steps.append(DecodeAction(request_id=self._last_request_id, request=ask, is_partial=False))
        steps += self._request_partial()
        self._audio.drop_before(self._find_first_needed_sample())
        return steps

    def _begin_window(self, utterance: Utterance) -> WindowRequest | None:
        end = utterance.seek + WINDOW_SAMPLES
        end = end if utterance.end is None else min(end, utterance.end)
        options = utterance.options.transcribe
        voice = None
        if options.vad_filter and self._speech is not None:
            voice = SpeechMap(
                self._audio.find_speech(utterance.seek, end, options.vad), options.vad.speech_pad_ms / 1000
            )
        return utterance.begin_window(self._audio.read(utterance.seek, end), voice)

    def _request_partial(self) -> list[Action]:
        utterance, heard = self._open_utterance, self._vad_position
        if (
            utterance is None
            or utterance.speech_start is None
            or not utterance.options.partial_results
            or self._partial_request is not None
            or self.skips_partials
            or utterance.is_decoding
        ):
            return []
        if utterance.last_partial_at is None:
            if heard - utterance.speech_start < utterance.options.first_partial_s * SAMPLE_RATE:
                return []
        else:
            # as much audio as came while the last one was decoded: half of the time nothing is, at the least
            wait = max(utterance.options.partial_interval_s * SAMPLE_RATE, 2 * self._partial_lag)
            has_heard = self._speech is None or self._last_voice_end > utterance.last_partial_at - ms_to_samples(100)
            if heard - utterance.last_partial_at < wait or not has_heard:
                return []
        if heard - utterance.seek > WINDOW_SAMPLES:
            return []  # its full window waits for those before it
        ask = utterance.build_partial_request(self._audio.read(utterance.seek, heard), self._max_prefix_tokens)
        if ask is None:
            return []
        utterance.last_partial_at = heard
        self._last_request_id += 1
        self._partial_request = self._last_request_id, utterance, utterance.seek
        return [DecodeAction(request_id=self._last_request_id, request=ask, is_partial=True)]

    def _find_first_needed_sample(self) -> int:
        if self._pending:
            return self._pending[0].seek
        turns = self._options.turn_detection
        return max(
            self._last_utterance_end,
            self._vad_position - ms_to_samples(turns.prefix_padding_ms if turns else 0) - CHUNK_SAMPLES,
        )
