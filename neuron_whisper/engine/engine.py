"""Engine: one thread that keeps a session's slots full across requests: schedule - step - complete."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.decode.window import (
    AlignRequest,
    DecodingResult,
    StepRequest,
    WindowDecoder,
    WindowRequest,
)
from neuron_whisper.engine.futures import set_exception, set_result
from neuron_whisper.engine.slots import SlotTable
from neuron_whisper.engine.stats import EngineStats, EngineStatsRecorder, Histogram
from neuron_whisper.engine.step_batch import StepBatch
from neuron_whisper.errors import (
    DecodingFailed,
    DeviceError,
    EngineDraining,
    InvalidOption,
    NeuronWhisperError,
    QueueFull,
)
from neuron_whisper.target.interfaces import PrefillInputs, ProgramSpec, Session
from neuron_whisper.text.tokenizer import Tokenizer

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class _NotANumberError(ArithmeticError):
    """The device returned NaN for a window, which may lie in its slot's K/V from now on."""


@dataclass(slots=True, eq=False)
class _EngineRequest:
    """A window in the engine's queue or in a slot."""

    window: WindowRequest
    decoder: WindowDecoder
    enqueued_at: float  # time.monotonic
    future: Future[DecodingResult] = field(default_factory=Future)
    next_step: StepRequest | None = None


_StepRow = tuple[int, _EngineRequest, StepRequest]  # a slot, its window, and what that asked for
# log-probabilities by row, and how a window takes what the device computed from its first row on
_StepOutput = tuple[NDArray[np.float32], Callable[[WindowDecoder, int], None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """A snapshot: windows that wait, windows in slots, windows completed and steps run since the start.

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
    """Decodes windows on one session, which only the engine's thread uses from now on.

    A window that joins or leaves changes no other window's tokens: rows do not mix. A cancelled future frees its
    slot at the next step. What goes wrong with one window's data fails that window alone. After an error of a device
    call, a DeviceError, every window fails with it and no window is accepted any more.
    """

    def __init__(
        self,
        session: Session,
        tokenizer: Tokenizer,
        *,
        queue_limit: int = 256,
        on_device_error: Callable[[DeviceError], None] = lambda error: None,
    ) -> None:
        self._session, self._tokenizer = session, tokenizer
        self._queue_limit, self._on_device_error = queue_limit, on_device_error
        self._waiting: deque[_EngineRequest] = deque()
        self._slots: SlotTable[_EngineRequest] = SlotTable(session.spec.slots)
        self._step_batch = StepBatch(session.spec)
        self._changed = threading.Condition()
        self._is_draining = self._is_closed = False
        self._device_error: DeviceError | None = None
        self._completed = self._steps = 0
        self._stats = EngineStatsRecorder()
        self._device_call_started_at: float | None = None
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    # --- any thread -------------------------------------------------------------------------------

    def submit(self, request: WindowRequest, *, is_first: bool = True, waited_s: float = 0.0) -> Future[DecodingResult]:
        """Queue a window. A clip's later windows are always accepted: a clip that was begun is decoded to its end.

        `waited_s` is how long it waited in a pool's queue, for the statistics.

        Raises QueueFull, EngineDraining, DeviceError, InvalidOption (a mel that is none, too many beams).
        """
        check_mel(request.mel, self._session.spec)
        decoder = WindowDecoder(request.options, self._tokenizer, self._session.spec, request.frames)
        entry = _EngineRequest(request, decoder, time.monotonic() - waited_s)
        with self._changed:
            if self._device_error is not None:
                raise DeviceError(str(self._device_error))
            if self._is_closed or (self._is_draining and is_first):
                raise EngineDraining
            if is_first and len(self._waiting) >= self._queue_limit:
                raise QueueFull(self._queue_limit)
            self._waiting.append(entry)
            self._changed.notify_all()
        entry.future.add_done_callback(partial(self._remove_cancelled, entry))
        return entry.future

    def _remove_cancelled(self, entry: _EngineRequest, future: Future[DecodingResult]) -> None:
        """Take a cancelled window out of the queue at once: its place is free for another."""
        if not future.cancelled():
            return
        with self._changed:
            self._stats.cancelled += 1
            if entry in self._waiting:
                self._waiting.remove(entry)
                self._changed.notify_all()

    @property
    def status(self) -> EngineStatus:
        with self._changed:
            started_at = self._device_call_started_at
            return EngineStatus(
                waiting=len(self._waiting),
                decoding=self._slots.n_taken,
                completed=self._completed,
                steps=self._steps,
                slots=self._session.spec.slots,
                device_call_s=0.0 if started_at is None else time.monotonic() - started_at,
                stats=self._stats.snapshot,
            )

    @property
    def device_error(self) -> DeviceError | None:
        """Why the engine accepts no window any more; None while it does."""
        return self._device_error

    def drain(self, timeout_s: float | None = None) -> bool:
        """Accept no new clips and wait until no window is left; False when that took longer than `timeout_s`.

        A clip that is between two windows is not seen here: wait for the clips' callers first.
        """
        with self._changed:
            self._is_draining = True
            return self._changed.wait_for(lambda: not self._waiting and not self._slots.n_taken, timeout_s)

    def close(self) -> None:
        """End the thread after its current step; unfinished windows fail with EngineDraining. Idempotent."""
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
        except Exception as error:  # after any error the session's state is unknown
            device_error = error if isinstance(error, DeviceError) else _to_device_error(error)
            log.exception("engine stopped")
            with self._changed:
                self._device_error = device_error
            self._fail_all(device_error)
            self._on_device_error(device_error)
        else:
            self._fail_all(EngineDraining())
        finally:
            self._session.close()

    def _wait_for_work(self) -> bool:
        """Wait for a window in the queue or in a slot; False when the engine is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._waiting or self._slots.n_taken)
            return not self._is_closed

    def _schedule(self) -> None:
        """Fill free slots from the queue, an encode batch at a time, so that running windows are not held up."""
        batch: list[tuple[int, _EngineRequest]] = []
        with self._changed:
            max_windows = min(self._slots.n_free, self._session.spec.encode_batch)
            while self._waiting and len(batch) < max_windows:
                entry = self._waiting.popleft()
                if not entry.future.cancelled():
                    batch.append((self._slots.take(entry), entry))
            self._changed.notify_all()
        if not batch:
            return
        now = time.monotonic()
        for _, entry in batch:
            self._stats.wait_s.observe(now - entry.enqueued_at)
        by_frames: dict[int, list[tuple[int, _EngineRequest]]] = {}
        for slot, entry in batch:
            by_frames.setdefault(self._session.spec.frames_to_encode(entry.window.frames), []).append((slot, entry))
        for frames, group in by_frames.items():
            mel = np.stack([entry.window.mel[:, :frames] for _, entry in group])
            self._call_device(self._stats.encode_s, self._session.encode, [slot for slot, _ in group], mel)
        log.debug("encode windows=%d ms=%.1f", len(batch), 1e3 * (time.monotonic() - now))
        for slot, entry in batch:
            self._run_until_step(slot, entry)

    def _run_until_step(self, slot: int, entry: _EngineRequest) -> None:
        """Run a window's prefills and alignments until its next call is a step, or it is completed."""
        try:
            while entry.decoder.result is None:
                match entry.decoder.next_request():
                    case PrefillInputs() as inputs:
                        output = self._call_device(self._stats.prefill_s, self._session.prefill, slot, inputs)
                        _check_numbers(output.language_logprobs, output.top_tokens.logprobs)
                        entry.decoder.receive_prefill(output)
                    case AlignRequest() as request:
                        attention = self._call_device(self._stats.align_s, self._session.align, slot, request.tokens)
                        entry.decoder.receive_alignment(attention)
                    case StepRequest() as request:
                        entry.next_step = request
                        return
            self._complete(slot, entry)
        except DeviceError:
            raise
        except Exception as error:  # this window cannot be decoded; the others can
            self._fail(slot, entry, error)

    def _step(self) -> None:
        """Decode one token for every row of every window in a slot."""
        top_k_rows: list[_StepRow] = []
        logits_rows: list[_StepRow] = []
        for slot, entry in self._slots.items():
            if entry.future.cancelled():
                self._release(slot)
                continue
            request = entry.next_step
            assert request is not None
            (logits_rows if request.needs_logits else top_k_rows).append((slot, entry, request))
        stepped = [
            *self._step_windows(top_k_rows, self._decode),
            *self._step_windows(logits_rows, self._compute_logits),
        ]
        if stepped:
            self._steps += 1
            self._stats.rows.observe(sum(len(request.tokens) for _, _, request, _ in stepped))
        for slot, entry, _, is_received in stepped:
            if is_received:
                self._run_until_step(slot, entry)

    def _step_windows(
        self, rows: list[_StepRow], compute: Callable[[], _StepOutput]
    ) -> list[tuple[int, _EngineRequest, StepRequest, bool]]:
        """Step these windows by one device call; those that were in it, and whether they took its output."""
        if not (filled := self._fill_step(rows)):
            return []
        logprobs, receive = compute()
        stepped = []
        for slot, entry, request in filled:
            first = slot * self._session.spec.beams
            numbers = logprobs[first : first + len(request.tokens)]
            is_received = self._receive(slot, entry, numbers, partial(receive, entry.decoder, first))
            stepped.append((slot, entry, request, is_received))
        return stepped

    def _decode(self) -> _StepOutput:
        top_k = self._call_device(self._stats.step_s, self._session.decode, self._step_batch.inputs)
        return top_k.logprobs, lambda decoder, first: decoder.receive_step(top_k, first)

    def _compute_logits(self) -> _StepOutput:
        logprobs = self._call_device(self._stats.step_s, self._session.logits, self._step_batch.inputs)
        return logprobs, lambda decoder, first: decoder.receive_logits(logprobs, first)

    def _fill_step(self, rows: list[_StepRow]) -> list[_StepRow]:
        """Fill the step batch with these windows' rows; returns those that are in it."""
        self._step_batch.clear()
        filled = []
        for slot, entry, request in rows:
            try:
                self._step_batch.add(slot, request)
            except Exception as error:
                self._fail(slot, entry, error)
            else:
                filled.append((slot, entry, request))
        return filled

    def _receive(
        self, slot: int, entry: _EngineRequest, logprobs: NDArray[np.float32], receive: Callable[[], None]
    ) -> bool:
        """Give a window the output of its step; False if that made it fail."""
        try:
            _check_numbers(logprobs)
            receive()
        except Exception as error:
            self._fail(slot, entry, error)
            return False
        return True

    def _call_device(self, histogram: Histogram, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the device. The start is published, so that `status` shows a call that does not return.

        Raises InvalidOption, when a window was refused before anything was done, and DeviceError for all else.
        """
        self._device_call_started_at = started_at = time.monotonic()
        try:
            return call(*args, **kwargs)
        except (DeviceError, InvalidOption):
            raise
        except Exception as error:
            raise _to_device_error(error) from error
        finally:
            self._device_call_started_at = None
            histogram.observe(time.monotonic() - started_at)

    def _complete(self, slot: int, entry: _EngineRequest) -> None:
        """Free the slot of a window that is done and deliver its result."""
        result = entry.decoder.result
        assert result is not None
        self._stats.tokens += len(result.tokens)
        self._stats.fallbacks.update(it.rejection_reason for it in result.attempts if it.rejection_reason)
        self._completed += 1
        self._release(slot)
        set_result(entry.future, result)

    def _fail(self, slot: int, entry: _EngineRequest, error: Exception) -> None:
        """Free the slot of a window that cannot be decoded and deliver the reason.

        Raises DeviceError when no slot is left whose K/V are numbers.
        """
        if not isinstance(error, NeuronWhisperError):
            log.error("a window cannot be decoded", exc_info=error)
        if isinstance(error, _NotANumberError):
            with self._changed:
                self._slots.retire(slot)
                self._changed.notify_all()
            error = DecodingFailed("the model's output is not a number")
        else:
            self._release(slot)
        if not isinstance(error, NeuronWhisperError):
            error = DecodingFailed(f"{type(error).__name__}: {error}")
        set_exception(entry.future, error)
        if not self._slots.n_free + self._slots.n_taken:
            raise DeviceError("the model's output was not a number in every slot")

    def _release(self, slot: int) -> None:
        with self._changed:
            self._slots.release(slot)
            self._changed.notify_all()

    def _fail_all(self, error: Exception) -> None:
        with self._changed:
            entries = [*self._waiting, *(entry for _, entry in self._slots.items())]
            self._waiting.clear()
            for slot, _ in self._slots.items():
                self._slots.release(slot)
            self._is_draining = True
            self._changed.notify_all()
        for entry in entries:
            set_exception(entry.future, error)


def check_mel(mel: NDArray[np.float32], spec: ProgramSpec) -> None:
    """Raises InvalidOption unless `mel` is what the program takes: its K/V would harm the slot's next windows, too."""
    shape = spec.dims.n_mels, spec.dims.n_frames
    if mel.shape != shape:
        raise InvalidOption("mel", mel.shape, f"shape {shape} with this model")
    if mel.dtype != np.float32 or not np.isfinite(mel).all():
        what = f"{mel.dtype}" if mel.dtype != np.float32 else "NaN or infinity"
        raise InvalidOption("mel", what, "finite numbers of float32")


def _check_numbers(*outputs: NDArray[np.float32]) -> None:
    """-inf is the log-probability of a token that is not allowed."""
    if any(np.isnan(values.max(initial=-np.inf)) for values in outputs):
        raise _NotANumberError


def _to_device_error(error: Exception) -> DeviceError:
    return DeviceError(f"{type(error).__name__}: {error}")
