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

from neuron_whisper.decode.window import (
    AlignRequest,
    DecodingResult,
    PrefillRequest,
    StepRequest,
    WindowDecoder,
    WindowRequest,
)
from neuron_whisper.engine.slots import SlotTable
from neuron_whisper.engine.stats import EngineStats, EngineStatsRecorder, Histogram
from neuron_whisper.engine.step_batch import StepBatch
from neuron_whisper.errors import DeviceError, EngineDraining, InvalidOption, QueueFull
from neuron_whisper.target.interfaces import Session
from neuron_whisper.text.tokenizer import Tokenizer

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _EngineRequest:
    """A window on its way through the engine."""

    window: WindowRequest
    decoding: WindowDecoder
    enqueued_at: float  # time.monotonic
    future: Future[DecodingResult] = field(default_factory=Future)
    next_step: StepRequest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """A snapshot: windows that wait, windows in slots, windows delivered and steps run since the start.

    `device_call_s` is how long the device's present call has taken so far, 0 between calls.
    """

    waiting: int
    decoding: int
    completed: int
    steps: int
    slots: int = 0
    device_call_s: float = 0.0
    stats: EngineStats = field(default_factory=EngineStats)


class Engine:
    """Decodes windows on one session, which belongs to the engine's thread from now on.

    A window that joins or leaves changes no other window's tokens: rows do not mix. A cancelled future frees its
    slot at the next step. After a DeviceError every window fails with it and nothing is taken any more.
    """

    def __init__(
        self,
        session: Session,
        tokenizer: Tokenizer,
        *,
        queue_limit: int = 256,
        on_fault: Callable[[DeviceError], None] = lambda fault: None,
    ) -> None:
        self._session, self._tokenizer = session, tokenizer
        self._queue_limit, self._on_fault = queue_limit, on_fault
        self._waiting: deque[_EngineRequest] = deque()
        self._slots: SlotTable[_EngineRequest] = SlotTable(session.spec.slots)
        self._step_batch = StepBatch(session.spec)
        self._changed = threading.Condition()
        self._is_draining = self._is_closed = False
        self._fault: DeviceError | None = None
        self._completed = self._steps = 0
        self._stats = EngineStatsRecorder()
        self._device_call_started_at: float | None = None
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    # --- any thread -------------------------------------------------------------------------------

    def submit(self, request: WindowRequest, *, is_first: bool = True, waited_s: float = 0.0) -> Future[DecodingResult]:
        """Queue a window. A clip's later windows are always taken: what was begun is not refused half-way.

        `waited_s` is what it has waited elsewhere, for the counts.

        Raises QueueFull, Draining, DeviceError, InvalidOption (a mel of the wrong shape, more beams than there are).
        """
        dims = self._session.spec.dims
        if request.mel.shape != (dims.n_mels, dims.n_frames):
            raise InvalidOption("mel", request.mel.shape, f"shape {(dims.n_mels, dims.n_frames)} with this model")
        decoding = WindowDecoder(request.options, self._tokenizer, self._session.spec, request.frames)
        job = _EngineRequest(request, decoding, time.monotonic() - waited_s)
        with self._changed:
            if self._fault is not None:
                raise DeviceError(str(self._fault))
            if self._is_closed or (self._is_draining and is_first):
                raise EngineDraining
            if is_first and len(self._waiting) >= self._queue_limit:
                raise QueueFull(self._queue_limit)
            self._waiting.append(job)
            self._changed.notify_all()
        job.future.add_done_callback(partial(self._remove_cancelled, job))
        return job.future

    def _remove_cancelled(self, job: _EngineRequest, future: Future[DecodingResult]) -> None:
        """A window that nobody wants any more keeps no place in the queue from others."""
        if not future.cancelled():
            return
        with self._changed:
            self._stats.cancelled += 1
            if job in self._waiting:
                self._waiting.remove(job)
                self._changed.notify_all()

    @property
    def status(self) -> EngineStatus:
        with self._changed:
            began = self._device_call_started_at
            return EngineStatus(
                waiting=len(self._waiting),
                decoding=self._slots.n_taken,
                completed=self._completed,
                steps=self._steps,
                slots=self._session.spec.slots,
                device_call_s=0.0 if began is None else time.monotonic() - began,
                stats=self._stats.snapshot,
            )

    @property
    def fault(self) -> DeviceError | None:
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
                self._schedule()
                self._step()
        except Exception as error:  # whatever it was, the session's state is unknown now
            fault = error if isinstance(error, DeviceError) else DeviceError(f"{type(error).__name__}: {error}")
            log.exception("engine stopped")
            with self._changed:
                self._fault = fault
            self._fail_all(fault)
            self._on_fault(fault)
        else:
            self._fail_all(EngineDraining())
        finally:
            self._session.close()

    def _wait_for_work(self) -> bool:
        """False when the engine is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._waiting or self._slots.n_taken)
            return not self._is_closed

    def _schedule(self) -> None:
        """Fill free slots from the queue, an encode batch at a time, so that running windows are not held up."""
        batch: list[tuple[int, _EngineRequest]] = []
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
            self._stats.wait_s.observe(now - job.enqueued_at)
        by_frames: dict[int, list[tuple[int, _EngineRequest]]] = {}
        for slot, job in batch:
            by_frames.setdefault(self._session.spec.frames_to_encode(job.window.frames), []).append((slot, job))
        for frames, alike in by_frames.items():
            mel = np.stack([job.window.mel[:, :frames] for _, job in alike])
            self._time_call(self._stats.encode_s, self._session.encode, [slot for slot, _ in alike], mel)
        log.debug("encode windows=%d ms=%.1f", len(batch), 1e3 * (time.monotonic() - now))
        for slot, job in batch:
            self._run_until_step(slot, job)

    def _run_until_step(self, slot: int, job: _EngineRequest) -> None:
        """Answer prompts and alignments until the window wants a step, or is done and delivered."""
        try:
            while job.decoding.result is None:
                match job.decoding.next_request():
                    case PrefillRequest() as ask:
                        answer = self._time_call(
                            self._stats.prefill_s,
                            self._session.prefill,
                            slot,
                            ask.prompt,
                            ask.sot_index,
                            ask.rules,
                            ask.suppressed,
                            beams=ask.beams,
                        )
                        job.decoding.receive_prefill(answer)
                    case AlignRequest() as ask:
                        attention = self._time_call(self._stats.align_s, self._session.align, slot, ask.tokens)
                        job.decoding.receive_alignment(attention)
                    case StepRequest() as ask:
                        job.next_step = ask
                        return
        except InvalidOption as error:  # this window cannot be decoded; the others can
            self._release(slot)
            _set_exception(job.future, error)
            return
        self._complete(slot, job)

    def _step(self) -> None:
        """One token for every row of every window in a slot."""
        choosing: list[tuple[int, _EngineRequest, StepRequest]] = []
        sampling: list[tuple[int, _EngineRequest, StepRequest]] = []
        for slot, job in self._slots.items():
            if job.future.cancelled():
                self._release(slot)
                continue
            ask = job.next_step
            assert ask is not None
            (sampling if ask.needs_logits else choosing).append((slot, job, ask))
        beams = self._session.spec.beams
        if choosing:
            choices = self._time_call(
                self._stats.step_s,
                self._session.decode,
                *self._step_batch.fill((slot, ask) for slot, _, ask in choosing),
            )
            for slot, job, _ in choosing:
                job.decoding.receive_step(choices, slot * beams)
        if sampling:
            logprobs = self._time_call(
                self._stats.step_s,
                self._session.logits,
                *self._step_batch.fill((slot, ask) for slot, _, ask in sampling),
            )
            for slot, job, _ in sampling:
                job.decoding.receive_logits(logprobs, slot * beams)
        if stepped := sum(len(ask.tokens) for _, _, ask in (*choosing, *sampling)):
            self._steps += 1
            self._stats.rows.observe(stepped)
        for slot, job, _ in (*choosing, *sampling):
            self._run_until_step(slot, job)

    def _time_call(self, histogram: Histogram, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """A call of the device, whose beginning is published: from outside it shows whether it ever ends."""
        self._device_call_started_at = began = time.monotonic()
        try:
            return call(*args, **kwargs)
        finally:
            self._device_call_started_at = None
            histogram.observe(time.monotonic() - began)

    def _complete(self, slot: int, job: _EngineRequest) -> None:
        """Hand over a window that is done and free its slot."""
        hypothesis = job.decoding.result
        assert hypothesis is not None
        self._release(slot)
        self._completed += 1
        self._stats.tokens += len(hypothesis.tokens)
        self._stats.fallbacks.update(it.rejection_reason for it in hypothesis.attempts if it.rejection_reason)
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
            _set_exception(job.future, error)


def _set_exception(future: Future[DecodingResult], error: Exception) -> None:
    try:
        future.set_exception(error)
    except InvalidStateError:
        log.debug("a window was cancelled before it failed")
