"""LiveStateMachine: samples in, windows to decode and events out. Pure: no device, no clock, no waiting.

Not a generator like the plans of clips: samples and results come in any order.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.audio.clip import HOP_SAMPLES, SAMPLE_RATE, WINDOW_SAMPLES, ms_to_samples
from neuron_whisper.audio.silero.network import CHUNK_SAMPLES
from neuron_whisper.audio.vad_options import MIN_THRESHOLD
from neuron_whisper.decode.language import resolve_language
from neuron_whisper.decode.prompt import PromptLimits
from neuron_whisper.decode.window import DecodingResult, WindowRequest
from neuron_whisper.errors import InvalidOption
from neuron_whisper.live.audio_buffer import AudioBuffer
from neuron_whisper.live.events import LiveEvent, SpeechStarted, SpeechStopped, UtteranceCommitted, UtteranceFailed
from neuron_whisper.live.options import LiveOptions
from neuron_whisper.live.turns import TurnTracker
from neuron_whisper.live.utterance import Utterance
from neuron_whisper.longform.speech_map import SpeechMap, without_pauses
from neuron_whisper.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeAction:
    """Decode this window, then call `receive` with its result, or `fail`. A partial request may be refused when the
    engine is busy; the others are needed for final text.
    """

    request_id: int
    request: WindowRequest
    is_partial: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelAction:
    """Cancel the window: its result is not needed any more."""

    request_id: int


class VoiceDetector(Protocol):
    """Implemented by audio/silero/network.SpeechStream."""

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the speech probability of each chunk of 512 samples that is complete now."""


Action: TypeAlias = DecodeAction | CancelAction | LiveEvent


class LiveStateMachine:
    """Splits one stream of audio into utterances and decodes them in order. For one thread; calls return actions.

    A full window of 30 s of an open utterance is decoded at once and its audio discarded: an utterance may have any
    length. The sizes in which samples arrive change no final text. At most one partial request is in progress, and
    none is made while `skips_partials` is set, so that they never queue up.
    """

    def __init__(
        self,
        options: LiveOptions,
        tokenizer: Tokenizer,
        speech: VoiceDetector | None,
        *,
        n_mels: int,
        max_prefix_tokens: int,
        prompt_limits: PromptLimits | None = None,
    ) -> None:
        """Raises InvalidOption for a language that the model does not know, or turns without a voice detector."""
        self._tokenizer, self._n_mels, self._max_prefix_tokens = tokenizer, n_mels, max_prefix_tokens
        self._prompt_limits = prompt_limits or PromptLimits()
        self._audio, self._turn_tracker = AudioBuffer(), TurnTracker()
        self._speech = speech
        self._options = self._validate_options(options)
        self._vad_position = 0  # samples that the voice detector has processed; all, without one
        self._last_utterance_end = 0
        self._last_voice_end = 0
        self._open_utterance: Utterance | None = None
        self._pending: deque[Utterance] = deque()  # the open one is the last
        self._window_request_id: int | None = None
        self._partial_request: tuple[int, Utterance, int] | None = None  # request id, utterance, its seek
        self._partial_lag = 0  # samples that arrived while the last partial result was decoded
        self._last_request_id = self._next_utterance = 0
        self.skips_partials = False

    def _validate_options(self, options: LiveOptions) -> LiveOptions:
        resolve_language(options.transcribe, self._tokenizer)
        if options.turn_detection is not None and self._speech is None:
            raise InvalidOption("turn_detection", "server_vad", "null: no voice detector is installed on this server")
        if options.turn_detection is not None:  # speech that began an utterance must not be silence for its final text
            vad = options.transcribe.vad
            threshold = max(MIN_THRESHOLD, min(vad.threshold, options.turn_detection.threshold))
            vad = replace(vad, threshold=threshold, neg_threshold=None)
            options = replace(options, transcribe=replace(options.transcribe, vad=vad))
        return options

    # --- state for the driver ---------------------------------------------------------------------

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

    # --- inputs -----------------------------------------------------------------------------------

    def feed(self, samples: NDArray[np.float32]) -> list[Action]:
        """Takes samples at 16 kHz, any number of them."""
        self._audio.append(samples)
        actions: list[Action] = []
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
                actions += self._on_vad_chunk(probability)
        return actions + self._next_actions()

    def update(self, options: LiveOptions) -> list[Action]:
        """Changes the options, from the next utterance on. Raises InvalidOption."""
        self._options = self._validate_options(options)
        self._turn_tracker.reset()
        self._turn_tracker.is_speaking = self._options.turn_detection is not None and self._open_utterance is not None
        return []

    def commit(self) -> list[Action]:
        """Ends the utterance here; without speech since the last one, an utterance of the audio kept."""
        if self._open_utterance is None:
            self._begin_utterance(max(self._last_utterance_end, self._audio.start))
        return self._end_utterance(self._audio.end) + self._next_actions()

    def clear(self) -> list[Action]:
        """Discards all audio that is not committed."""
        actions: list[Action] = []
        if self._open_utterance is not None:
            actions = self._discard(self._open_utterance)
        self._last_utterance_end = self._audio.end
        self._turn_tracker.reset()
        return actions + self._next_actions()

    def finish(self) -> list[Action]:
        """Ends the input: commits the open utterance."""
        return (
            self.commit()
            if self._open_utterance is not None and self._audio.end - self._open_utterance.start >= HOP_SAMPLES
            else []
        )

    def receive(self, request_id: int, result: DecodingResult) -> list[Action]:
        """Takes the result of a DecodeAction; one that was cancelled is ignored."""
        actions: list[Action] = []
        if request_id == self._window_request_id:
            self._window_request_id = None
            utterance = self._pending[0]
            n_stable = len(utterance.agreement.stable)
            utterance.end_window(result)
            if (
                utterance.end is None
                and utterance.options.partial_results
                and len(utterance.agreement.stable) > n_stable
            ):
                actions.append(utterance.build_partial())
        elif self._partial_request is not None and request_id == self._partial_request[0]:
            _, utterance, seek = self._partial_request
            self._partial_request = None
            assert utterance.last_partial_at is not None
            self._partial_lag = self._audio.end - utterance.last_partial_at
            if utterance is self._open_utterance and utterance.seek == seek:
                partial = utterance.on_partial_result(result)
                actions += [partial] if partial is not None else []
        else:
            return []
        return actions + self._next_actions()

    def fail(self, request_id: int, error: Exception) -> list[Action]:
        """Takes the failure of a DecodeAction: a partial one is ignored, any other fails its utterance."""
        if self._partial_request is not None and request_id == self._partial_request[0]:
            self._partial_request = None
            return []
        if request_id != self._window_request_id:
            return []
        utterance = self._pending[0]
        self._window_request_id = None
        actions = self._discard(utterance)
        if utterance.end is None:  # its further audio is a new utterance
            self._last_utterance_end = self._audio.end
            self._turn_tracker.reset()
        return [*actions, UtteranceFailed(utterance=utterance.number, error=error), *self._next_actions()]

    # --- utterances -------------------------------------------------------------------------------

    def _on_vad_chunk(self, probability: float) -> list[Action]:
        """Processes the speech probability of the next 512 samples."""
        turns = self._options.turn_detection
        start = self._vad_position - CHUNK_SAMPLES
        actions: list[Action] = []
        if turns is not None and self._turn_tracker.detect_start(probability, turns):
            begin = max(self._last_utterance_end, self._audio.start, start - ms_to_samples(turns.prefix_padding_ms))
            utterance = self._begin_utterance(begin)
            actions.append(SpeechStarted(utterance=utterance.number, start_s=begin / SAMPLE_RATE))
        is_voice = probability >= self._options.transcribe.vad.threshold
        if self._open_utterance is not None and is_voice:
            self._last_voice_end = self._vad_position
            if self._open_utterance.speech_start is None:
                self._open_utterance.speech_start = max(start, self._open_utterance.start)
        if turns is not None and self._turn_tracker.detect_end(probability, self._vad_position, turns):
            assert self._open_utterance is not None
            actions.append(SpeechStopped(utterance=self._open_utterance.number, end_s=self._vad_position / SAMPLE_RATE))
            actions += self._end_utterance(self._vad_position)
        return actions

    def _begin_utterance(self, start: int) -> Utterance:
        self._open_utterance = Utterance(
            number=self._next_utterance,
            options=self._options,
            tokenizer=self._tokenizer,
            n_mels=self._n_mels,
            start=start,
            seek=start,
            speech_start=start if self._speech is None else None,
            prompt_limits=self._prompt_limits,
        )
        self._next_utterance += 1
        self._pending.append(self._open_utterance)
        return self._open_utterance

    def _end_utterance(self, end: int) -> list[Action]:
        utterance = self._open_utterance
        assert utterance is not None
        actions = self._cancel_partial()
        utterance.end, self._open_utterance, self._last_utterance_end = end, None, end
        self._turn_tracker.reset()
        committed = UtteranceCommitted(
            utterance=utterance.number, start_s=utterance.start / SAMPLE_RATE, end_s=end / SAMPLE_RATE
        )
        return [*actions, committed]

    def _discard(self, utterance: Utterance) -> list[Action]:
        actions: list[Action] = []
        if utterance is self._pending[0] and self._window_request_id is not None:
            actions.append(CancelAction(request_id=self._window_request_id))
            self._window_request_id = None
        self._pending.remove(utterance)
        if utterance is self._open_utterance:
            actions += self._cancel_partial()
            self._open_utterance = None
        return actions

    def _cancel_partial(self) -> list[Action]:
        if self._partial_request is None:
            return []
        request_id, self._partial_request = self._partial_request[0], None
        return [CancelAction(request_id=request_id)]

    # --- windows ----------------------------------------------------------------------------------

    def _next_actions(self) -> list[Action]:
        """Requests what can be decoded now and discards audio that is not needed any more."""
        actions: list[Action] = []
        while self._pending and self._window_request_id is None:
            utterance = self._pending[0]
            if utterance.is_done:
                actions.append(utterance.build_final())
                self._pending.popleft()
                continue
            if utterance.end is None and self._vad_position - utterance.seek < WINDOW_SAMPLES:
                break
            if (request := self._begin_window(utterance)) is not None:
                self._last_request_id += 1
                self._window_request_id = self._last_request_id
                if utterance is self._open_utterance:
                    actions += self._cancel_partial()
                actions.append(DecodeAction(request_id=self._last_request_id, request=request, is_partial=False))
        actions += self._request_partial()
        self._audio.drop_before(self._find_first_needed_sample())
        return actions

    def _begin_window(self, utterance: Utterance) -> WindowRequest | None:
        end = utterance.seek + WINDOW_SAMPLES
        end = end if utterance.end is None else min(end, utterance.end)
        options = utterance.options.transcribe
        speech_map = None
        if options.vad_filter and self._speech is not None:
            speech_map = SpeechMap(
                self._audio.find_speech(utterance.seek, end, options.vad),
                options.vad.speech_pad_ms / 1000,
                pauseless_spans=self._audio.find_speech(utterance.seek, end, without_pauses(options.vad)),
            )
        return utterance.begin_window(self._audio.read(utterance.seek, end), speech_map)

    def _request_partial(self) -> list[Action]:
        utterance, position = self._open_utterance, self._vad_position
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
            if position - utterance.speech_start < utterance.options.first_partial_s * SAMPLE_RATE:
                return []
        else:
            # wait twice the decoding time of the last one: the engine is free for half of the time at least
            wait = max(utterance.options.partial_interval_s * SAMPLE_RATE, 2 * self._partial_lag)
            has_new_speech = self._speech is None or self._last_voice_end > utterance.last_partial_at - ms_to_samples(
                100
            )
            if position - utterance.last_partial_at < wait or not has_new_speech:
                return []
        if position - utterance.seek > WINDOW_SAMPLES:
            return []  # its full window waits for earlier windows
        request = utterance.build_partial_request(self._audio.read(utterance.seek, position), self._max_prefix_tokens)
        if request is None:
            return []
        utterance.last_partial_at = position
        self._last_request_id += 1
        self._partial_request = self._last_request_id, utterance, utterance.seek
        return [DecodeAction(request_id=self._last_request_id, request=request, is_partial=True)]

    def _find_first_needed_sample(self) -> int:
        if self._pending:
            return self._pending[0].seek
        turns = self._options.turn_detection
        return max(
            self._last_utterance_end,
            self._vad_position - ms_to_samples(turns.prefix_padding_ms if turns else 0) - CHUNK_SAMPLES,
        )
