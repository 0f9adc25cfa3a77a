"""LivePlan: samples in, windows to decode and events out. Pure: no device, no clock, no waiting.

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
from neuron_whisper.audio.speech import LOWEST_THRESHOLD
from neuron_whisper.decode.window import Hypothesis, WindowAsk
from neuron_whisper.errors import InvalidOption
from neuron_whisper.live.audio_buffer import Tape
from neuron_whisper.live.events import Committed, Event, Failed, SpeechStarted, SpeechStopped
from neuron_whisper.live.options import LiveOptions
from neuron_whisper.live.turns import TurnTracker, samples_of_ms
from neuron_whisper.live.utterance import Utterance
from neuron_whisper.longform.speech_map import Voice
from neuron_whisper.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Decode this window, then `receive` its hypothesis or `fail`. What is partial may be given up where there is
    no room; the rest is the words that somebody waits for.
    """

    ticket: int
    ask: WindowAsk
    is_partial: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Nobody wants the window any more."""

    ticket: int


class VoiceDetector(Protocol):
    """SpeechStream."""

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """The probability of speech in each 512 samples that are whole now."""


Step: TypeAlias = Ask | Cancel | Event


class LivePlan:
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
        longest_prefix: int,
    ) -> None:
        """Raises InvalidOption for a language that the model does not know, or turns without a voice detector."""
        self._tokenizer, self._n_mels, self._longest_prefix = tokenizer, n_mels, longest_prefix
        self._tape, self._tracker = Tape(), TurnTracker()
        self._speech = speech
        self._options = self._checked(options)
        self._judged = 0  # samples that the voice detector heard, or all
        self._cut = 0  # where the last utterance ended
        self._voice_until = 0  # where voice was heard last
        self._open: Utterance | None = None
        self._pending: deque[Utterance] = deque()  # the open one is the last
        self._window_ticket: int | None = None
        self._partial: tuple[int, Utterance, int] | None = None  # ticket, whose, its seek
        self._lag = 0  # samples that came while the last partial was decoded
        self._tickets = self._numbers = 0
        self.skips_partials = False

    def _checked(self, options: LiveOptions) -> LiveOptions:
        language, special = options.transcribe.language, self._tokenizer.special
        if not special.is_multilingual:
            self._tokenizer.sot_sequence(language, options.transcribe.task, timestamps=True)
        elif language is not None:
            self._tokenizer.language_token(language)
        if options.turns is not None and self._speech is None:
            raise InvalidOption("turn_detection", "server_vad", "null: no voice detector is installed here")
        if options.turns is not None:  # what began an utterance must not be silence to its final text
            vad = options.transcribe.vad
            threshold = max(LOWEST_THRESHOLD, min(vad.threshold, options.turns.threshold))
            vad = replace(vad, threshold=threshold, neg_threshold=None)
            options = replace(options, transcribe=replace(options.transcribe, vad=vad))
        return options

    # --- what a driver asks -----------------------------------------------------------------------

    @property
    def fed_s(self) -> float:
        """Seconds of audio so far."""
        return self._tape.end / SAMPLE_RATE

    @property
    def buffered_s(self) -> float:
        """Seconds of utterances whose final text is not decoded yet."""
        return (self._tape.end - self._pending[0].seek) / SAMPLE_RATE if self._pending else 0.0

    @property
    def uncommitted_s(self) -> float:
        """Seconds since the last utterance ended."""
        return (self._tape.end - self._cut) / SAMPLE_RATE

    @property
    def is_idle(self) -> bool:
        """Whether every utterance that ended has its final text."""
        return not self._pending or self._pending[0].end is None

    # --- what comes in ----------------------------------------------------------------------------

    def feed(self, samples: NDArray[np.float32]) -> list[Step]:
        """Samples at 16 kHz, any number of them."""
        self._tape.append(samples)
        steps: list[Step] = []
        if self._options.turns is None and self._open is None and self._tape.end > self._cut:
            self._begin(max(self._cut, self._tape.start))
        if self._speech is None:
            self._judged = self._tape.end
        else:
            for probability in self._speech.push(samples).tolist():
                self._tape.append_probability(probability)
                self._judged += CHUNK_SAMPLES
                steps += self._judge(probability)
        return steps + self._go_on()

    def update(self, options: LiveOptions) -> list[Step]:
        """Other options, from the next utterance on. Raises InvalidOption."""
        self._options = self._checked(options)
        self._tracker.reset()
        self._tracker.is_speaking = self._options.turns is not None and self._open is not None
        return []

    def commit(self) -> list[Step]:
        """End the utterance here; where the voice detector heard none, one of the last moments, for its silence."""
        if self._open is None:
            self._begin(max(self._cut, self._tape.start))
        return self._end(self._tape.end) + self._go_on()

    def clear(self) -> list[Step]:
        """Forget what is not committed."""
        steps: list[Step] = []
        if self._open is not None:
            steps = self._discard(self._open)
        self._cut = self._tape.end
        self._tracker.reset()
        return steps + self._go_on()

    def finish(self) -> list[Step]:
        """Nothing more will be fed: what was said is committed."""
        return self.commit() if self._open is not None and self._tape.end - self._open.start >= HOP_SAMPLES else []

    def receive(self, ticket: int, hypothesis: Hypothesis) -> list[Step]:
        """The answer to an Ask; to one that was cancelled it is nothing."""
        steps: list[Step] = []
        if ticket == self._window_ticket:
            self._window_ticket = None
            utterance = self._pending[0]
            told = len(utterance.agreement.stable)
            utterance.end_window(hypothesis)
            if utterance.end is None and utterance.options.partials and len(utterance.agreement.stable) > told:
                steps.append(utterance.partial())
        elif self._partial is not None and ticket == self._partial[0]:
            _, utterance, seek = self._partial
            self._partial = None
            assert utterance.asked_at is not None
            self._lag = self._tape.end - utterance.asked_at
            if utterance is self._open and utterance.seek == seek:
                partial = utterance.take_partial(hypothesis)
                steps += [partial] if partial is not None else []
        else:
            return []
        return steps + self._go_on()

    def fail(self, ticket: int, error: Exception) -> list[Step]:
        """An Ask has no answer. A partial one is not missed; an utterance without its final text has failed."""
        if self._partial is not None and ticket == self._partial[0]:
            self._partial = None
            return []
        if ticket != self._window_ticket:
            return []
        utterance = self._pending[0]
        self._window_ticket = None
        steps = self._discard(utterance)
        if utterance.end is None:  # what is said of it from now on is another one
            self._cut = self._tape.end
            self._tracker.reset()
        return [*steps, Failed(utterance=utterance.number, error=error), *self._go_on()]

    # --- utterances -------------------------------------------------------------------------------

    def _judge(self, probability: float) -> list[Step]:
        """The next 512 samples' probability."""
        turns = self._options.turns
        start = self._judged - CHUNK_SAMPLES
        steps: list[Step] = []
        if turns is not None and self._tracker.begins(probability, turns):
            begin = max(self._cut, self._tape.start, start - samples_of_ms(turns.prefix_padding_ms))
            utterance = self._begin(begin)
            steps.append(SpeechStarted(utterance=utterance.number, start_s=begin / SAMPLE_RATE))
        is_voice = probability >= self._options.transcribe.vad.threshold
        if self._open is not None and is_voice:
            self._voice_until = self._judged
            if self._open.spoken_from is None:
                self._open.spoken_from = max(start, self._open.start)
        if turns is not None and self._tracker.ends(probability, self._judged, turns):
            assert self._open is not None
            steps.append(SpeechStopped(utterance=self._open.number, end_s=self._judged / SAMPLE_RATE))
            steps += self._end(self._judged)
        return steps

    def _begin(self, start: int) -> Utterance:
        self._open = Utterance(
            number=self._numbers,
            options=self._options,
            tokenizer=self._tokenizer,
            n_mels=self._n_mels,
            start=start,
            seek=start,
            spoken_from=start if self._speech is None else None,
        )
        self._numbers += 1
        self._pending.append(self._open)
        return self._open

    def _end(self, end: int) -> list[Step]:
        utterance = self._open
        assert utterance is not None
        steps = self._cancel_partial()
        utterance.end, self._open, self._cut = end, None, end
        self._tracker.reset()
        committed = Committed(
            utterance=utterance.number, start_s=utterance.start / SAMPLE_RATE, end_s=end / SAMPLE_RATE
        )
        return [*steps, committed]

    def _discard(self, utterance: Utterance) -> list[Step]:
        steps: list[Step] = []
        if utterance is self._pending[0] and self._window_ticket is not None:
            steps.append(Cancel(ticket=self._window_ticket))
            self._window_ticket = None
        self._pending.remove(utterance)
        if utterance is self._open:
            steps += self._cancel_partial()
            self._open = None
        return steps

    def _cancel_partial(self) -> list[Step]:
        if self._partial is None:
            return []
        ticket, self._partial = self._partial[0], None
        return [Cancel(ticket=ticket)]

    # --- windows ----------------------------------------------------------------------------------

    def _go_on(self) -> list[Step]:
        """Ask what can be asked now, and let go of what nobody needs any more."""
        steps: list[Step] = []
        while self._pending and self._window_ticket is None:
            utterance = self._pending[0]
            if utterance.is_done:
                steps.append(utterance.final())
                self._pending.popleft()
                continue
            if utterance.end is None and self._judged - utterance.seek < WINDOW_SAMPLES:
                break
            if (ask := self._window(utterance)) is not None:
                self._tickets += 1
                self._window_ticket = self._tickets
                if utterance is self._open:
                    steps += self._cancel_partial()
                steps.append(Ask(ticket=self._tickets, ask=ask, is_partial=False))
        steps += self._partial_steps()
        self._tape.drop_before(self._needed_from())
        return steps

    def _window(self, utterance: Utterance) -> WindowAsk | None:
        end = utterance.seek + WINDOW_SAMPLES
        end = end if utterance.end is None else min(end, utterance.end)
        options = utterance.options.transcribe
        voice = None
        if options.vad_filter and self._speech is not None:
            voice = Voice(self._tape.spans(utterance.seek, end, options.vad), options.vad.speech_pad_ms / 1000)
        return utterance.begin_window(self._tape.read(utterance.seek, end), voice)

    def _partial_steps(self) -> list[Step]:
        utterance, heard = self._open, self._judged
        if (
            utterance is None
            or utterance.spoken_from is None
            or not utterance.options.partials
            or self._partial is not None
            or self.skips_partials
            or utterance.is_decoding
        ):
            return []
        if utterance.asked_at is None:
            if heard - utterance.spoken_from < utterance.options.first_partial_s * SAMPLE_RATE:
                return []
        else:
            # as much audio as came while the last one was decoded: half of the time nothing is, at the least
            wait = max(utterance.options.partial_every_s * SAMPLE_RATE, 2 * self._lag)
            has_heard = self._speech is None or self._voice_until > utterance.asked_at - samples_of_ms(100)
            if heard - utterance.asked_at < wait or not has_heard:
                return []
        if heard - utterance.seek > WINDOW_SAMPLES:
            return []  # its full window waits for those before it
        ask = utterance.partial_ask(self._tape.read(utterance.seek, heard), self._longest_prefix)
        if ask is None:
            return []
        utterance.asked_at = heard
        self._tickets += 1
        self._partial = self._tickets, utterance, utterance.seek
        return [Ask(ticket=self._tickets, ask=ask, is_partial=True)]

    def _needed_from(self) -> int:
        if self._pending:
            return self._pending[0].seek
        turns = self._options.turns
        return max(self._cut, self._judged - samples_of_ms(turns.prefix_padding_ms if turns else 0) - CHUNK_SAMPLES)
