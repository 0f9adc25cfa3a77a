"""Engine: one thread that keeps a session's slots full across requests: admit - step - deliver."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from functools import partial
from typing import ParamSpec, TypeVar

import numpy as np

from neuron_whisper.decode.window import AlignAsk, Hypothesis, PrefillAsk, StepAsk, WindowAsk, WindowDecoding
from neuron_whisper.engine.slots import SlotTable
from neuron_whisper.engine.stats import EngineCounts, EngineTallies, Tally
from neuron_whisper.engine.step_batch import StepRows
from neuron_whisper.errors import DeviceFault, Draining, InvalidOption, QueueFull
from neuron_whisper.target.interfaces import Session
from neuron_whisper.text.tokenizer import Tokenizer

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Job:
    """A window on its way through the engine."""

    ask: WindowAsk
    decoding: WindowDecoding
    came_at: float  # time.monotonic
    future: Future[Hypothesis] = field(default_factory=Future)
    next_step: StepAsk | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """A snapshot: windows that wait, windows in slots, windows delivered and steps run since the start.

    `device_call_s` is how long the device's present call has taken so far, 0 between calls.
    """

    waiting: int
    decoding: int
    delivered: int
    steps: int
    slots: int = 0
    device_call_s: float = 0.0
    counts: EngineCounts = field(default_factory=EngineCounts)


class Engine:
    """Decodes windows on one session, which belongs to the engine's thread from now on.

    A window that joins or leaves changes no other window's tokens: rows do not mix. A cancelled future frees its
    slot at the next step. After a DeviceFault every window fails with it and nothing is taken any more.
    """

    def __init__(
        self,
        session: Session,
        tokenizer: Tokenizer,
        *,
        queue_limit: int = 256,
        on_fault: Callable[[DeviceFault], None] = lambda fault: None,
    ) -> None:
        self._session, self._tokenizer = session, tokenizer
        self._queue_limit, self._on_fault = queue_limit, on_fault
        self._waiting: deque[_Job] = deque()
        self._slots: SlotTable[_Job] = SlotTable(session.spec.slots)
        self._rows = StepRows(session.spec)
        self._changed = threading.Condition()
        self._is_draining = self._is_closed = False
        self._fault: DeviceFault | None = None
        self._delivered = self._steps = 0
        self._tallies = EngineTallies()
        self._call_began: float | None = None
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    # --- any thread -------------------------------------------------------------------------------

    def submit(self, ask: WindowAsk, *, is_first: bool = True, waited_s: float = 0.0) -> Future[Hypothesis]:
        """Queue a window. A clip's later windows are always taken: what was begun is not refused half-way.

        `waited_s` is what it has waited elsewhere, for the counts.

        Raises QueueFull, Draining, DeviceFault, InvalidOption (a mel of the wrong shape, more beams than there are).
        """
        dims = self._session.spec.dims
        if ask.mel.shape != (dims.n_mels, dims.n_frames):
            raise InvalidOption("mel", ask.mel.shape, f"shape {(dims.n_mels, dims.n_frames)} with this model")
        decoding = WindowDecoding(ask.options, self._tokenizer, self._session.spec, ask.frames)
        job = _Job(ask, decoding, time.monotonic() - waited_s)
        with self._changed:
            if self._fault is not None:
                raise DeviceFault(str(self._fault))
            if self._is_closed or (self._is_draining and is_first):
                raise Draining
            if is_first and len(self._waiting) >= self._queue_limit:
                raise QueueFull(self._queue_limit)
            self._waiting.append(job)
            self._changed.notify_all()
        job.future.add_done_callback(partial(self._forget_cancelled, job))
        return job.future

    def _forget_cancelled(self, job: _Job, future: Future[Hypothesis]) -> None:
        """A window that nobody wants any more keeps no place in the queue from others."""
        if not future.cancelled():
            return
        with self._changed:
            self._tallies.cancelled += 1
            if job in self._waiting:
                self._waiting.remove(job)
                self._changed.notify_all()

    @property
    def status(self) -> EngineStatus:
        with self._changed:
            began = self._call_began
            return EngineStatus(
                waiting=len(self._waiting),
                decoding=self._slots.n_taken,
                delivered=self._delivered,
                steps=self._steps,
                slots=self._session.spec.slots,
                device_call_s=0.0 if began is None else time.monotonic() - began,
                counts=self._tallies.now,
            )

    @property
    def fault(self) -> DeviceFault | None:
        """Why the engine takes nothing any more, if so."""
        return self._fault

    def drain(self, timeout_s: float | None = None) -> bool:
        """Take no new clips and wait until no window is left; False when that took longer than `timeout_s`.

        A clip that is between two windows is not seen: whoever drains waits for its callers first.
        """
        with self._changed:
            self._is_draining = True
            return self._changed.wait_for(lambda: not self._waiting and not self._slots.n_taken, timeout_s)

    def close(self) -> None:
        """End the thread after its current step; what is not done fails with Draining. Idempotent."""
        with self._changed:
            self._is_draining = self._is_closed = True
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    # --- the engine's thread ----------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._wait_for_work():
                self._admit()
                self._step()
        except Exception as error:  # whatever it was, the session's state is unknown now
            fault = error if isinstance(error, DeviceFault) else DeviceFault(f"{type(error).__name__}: {error}")
            log.exception("engine stopped")
            with self._changed:
                self._fault = fault
            self._fail_all(fault)
            self._on_fault(fault)
        else:
            self._fail_all(Draining())
        finally:
            self._session.close()

    def _wait_for_work(self) -> bool:
        """False when the engine is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._waiting or self._slots.n_taken)
            return not self._is_closed

    def _admit(self) -> None:
        """Fill free slots from the queue, an encode batch at a time, so that running windows are not held up."""
        batch: list[tuple[int, _Job]] = []
        with self._changed:
            room = min(self._slots.n_free, self._session.spec.encode_batch)
            while self._waiting and len(batch) < room:
                job = self._waiting.popleft()
                if not job.future.cancelled():
                    batch.append((self._slots.take(job), job))
            self._changed.notify_all()
        if not batch:
            return
        now = time.monotonic()
        for _, job in batch:
            self._tallies.wait_s.add(now - job.came_at)
        by_frames: dict[int, list[tuple[int, _Job]]] = {}
        for slot, job in batch:
            by_frames.setdefault(self._session.spec.frames_to_encode(job.ask.frames), []).append((slot, job))
        for frames, alike in by_frames.items():
            mel = np.stack([job.ask.mel[:, :frames] for _, job in alike])
            self._timed(self._tallies.encode_s, self._session.encode, [slot for slot, _ in alike], mel)
        log.debug("encode windows=%d ms=%.1f", len(batch), 1e3 * (time.monotonic() - now))
        for slot, job in batch:
            self._advance(slot, job)

    def _advance(self, slot: int, job: _Job) -> None:
        """Answer prompts and alignments until the window wants a step, or is done and delivered."""
        try:
            while job.decoding.hypothesis is None:
                match job.decoding.ask():
                    case PrefillAsk() as ask:
                        answer = self._timed(
                            self._tallies.prefill_s,
                            self._session.prefill,
                            slot,
                            ask.prompt,
                            ask.sot_index,
                            ask.rules,
                            ask.banned,
                            beams=ask.beams,
                        )
                        job.decoding.receive_prefill(answer)
                    case AlignAsk() as ask:
                        attention = self._timed(self._tallies.align_s, self._session.align, slot, ask.tokens)
                        job.decoding.receive_alignment(attention)
                    case StepAsk() as ask:
                        job.next_step = ask
                        return
        except InvalidOption as error:  # this window cannot be decoded; the others can
            self._release(slot)
            _fail(job.future, error)
            return
        self._deliver(slot, job)

    def _step(self) -> None:
        """One token for every row of every window in a slot."""
        choosing: list[tuple[int, _Job, StepAsk]] = []
        sampling: list[tuple[int, _Job, StepAsk]] = []
        for slot, job in self._slots.items():
            if job.future.cancelled():
                self._release(slot)
                continue
            ask = job.next_step
            assert ask is not None
            (sampling if ask.wants_logits else choosing).append((slot, job, ask))
        beams = self._session.spec.beams
        if choosing:
            choices = self._timed(
                self._tallies.step_s,
                self._session.decode,
                *self._rows.filled((slot, ask) for slot, _, ask in choosing),
            )
            for slot, job, _ in choosing:
                job.decoding.receive_step(choices, slot * beams)
        if sampling:
            logprobs = self._timed(
                self._tallies.step_s,
                self._session.logits,
                *self._rows.filled((slot, ask) for slot, _, ask in sampling),
            )
            for slot, job, _ in sampling:
                job.decoding.receive_logits(logprobs, slot * beams)
        if stepped := sum(len(ask.tokens) for _, _, ask in (*choosing, *sampling)):
            self._steps += 1
            self._tallies.rows.add(stepped)
        for slot, job, _ in (*choosing, *sampling):
            self._advance(slot, job)

    def _timed(self, tally: Tally, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """A call of the device, whose beginning is published: from outside it shows whether it ever ends."""
        self._call_began = began = time.monotonic()
        try:
            return call(*args, **kwargs)
        finally:
            self._call_began = None
            tally.add(time.monotonic() - began)

    def _deliver(self, slot: int, job: _Job) -> None:
        """Hand over a window that is done and free its slot."""
        hypothesis = job.decoding.hypothesis
        assert hypothesis is not None
        self._release(slot)
        self._delivered += 1
        self._tallies.tokens += len(hypothesis.tokens)
        self._tallies.gates.update(it.rejected_for for it in hypothesis.attempts if it.rejected_for)
        try:
            job.future.set_result(hypothesis)
        except InvalidStateError:
            log.debug("a window was cancelled while its last step ran")

    def _release(self, slot: int) -> None:
        with self._changed:
            self._slots.release(slot)
            self._changed.notify_all()

    def _fail_all(self, error: Exception) -> None:
        with self._changed:
            jobs = [*self._waiting, *(job for _, job in self._slots.items())]
            self._waiting.clear()
            for slot, _ in self._slots.items():
                self._slots.release(slot)
            self._is_draining = True
            self._changed.notify_all()
        for job in jobs:
            _fail(job.future, error)


def _fail(future: Future[Hypothesis], error: Exception) -> None:
    try:
        future.set_exception(error)
    except InvalidStateError:
        log.debug("a window was cancelled before it failed")
