"""EnginePool: an engine in each of several worker processes; a worker that dies takes nothing with it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from functools import partial

from neuron_whisper.decode.window import Hypothesis, WindowAsk
from neuron_whisper.engine.dispatch import Dispatch, Job
from neuron_whisper.engine.interface import PoolStatus
from neuron_whisper.engine.messages import (
    Answer,
    Beat,
    Cancel,
    Faulted,
    FromWorker,
    NotStarted,
    Ready,
    Refused,
    Start,
    Stop,
    Window,
)
from neuron_whisper.engine.process import WorkerProcess
from neuron_whisper.engine.session_factory import Opening
from neuron_whisper.engine.stats import EngineCounts
from neuron_whisper.engine.watchdog import PoolTimes, Watch
from neuron_whisper.engine.worker_resources import CoreGroup
from neuron_whisper.engine.worker_state import MOST_FAILURES, Life, Seat
from neuron_whisper.errors import DeviceFault, Draining, InvalidOption, NeuronWhisperError, QueueFull
from neuron_whisper.target.interfaces import ProgramSpec

log = logging.getLogger(__name__)

TICK_S = 0.5  # how late a hung worker, or the end of our patience, may be seen


class EnginePool:
    """WindowEngine on one worker process for each group of cores.

    Dispatch says which worker gets a window, and how often a window is tried again whose worker died. A dead worker
    is started again, at once when it had done something, else ever later. When every worker failed MOST_FAILURES
    times in a row the pool's fault is set, and nothing is taken any more.
    """

    def __init__(
        self,
        opening: Opening,
        spec: ProgramSpec,
        groups: Sequence[CoreGroup],
        *,
        queue_limit: int = 256,
        on_fault: Callable[[DeviceFault], None] = lambda fault: None,
        times: PoolTimes | None = None,
    ) -> None:
        """Returns when one worker is ready. Raises why the first one could not be started, when none could."""
        self._opening, self._spec = opening, spec
        self._queue_limit, self._on_fault, self._times = queue_limit, on_fault, times or PoolTimes()
        self._changed = threading.Condition()
        self._dispatch = Dispatch(len(groups), slots=spec.slots, ahead=spec.encode_batch)
        self._is_draining = self._is_closed = False
        self._kill_at = float("inf")
        self._fault: DeviceFault | None = None
        self._delivered = 0
        self._unseen = EngineCounts()
        self._seats = [Seat(index, group) for index, group in enumerate(groups)]
        for seat in self._seats:
            seat.thread = threading.Thread(target=self._tend, args=(seat,), name=f"worker-{seat.index}", daemon=True)
            seat.thread.start()
        try:
            self._wait_for_one()
        except BaseException:
            self.close()
            raise

    def _wait_for_one(self) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    any(seat.state == "ready" for seat in self._seats)
                    or all(seat.error is not None for seat in self._seats)
                )
            )
            if all(seat.error is not None for seat in self._seats):
                assert self._seats[0].error is not None
                raise self._seats[0].error

    # --- any thread -------------------------------------------------------------------------------

    def submit(self, ask: WindowAsk, *, is_first: bool = True) -> Future[Hypothesis]:
        """As Engine.submit; the limit holds for all workers together. Never waits for a worker.

        Raises QueueFull, Draining, DeviceFault, InvalidOption (a mel of the wrong shape).
        """
        dims = self._spec.dims
        if ask.mel.shape != (dims.n_mels, dims.n_frames):
            raise InvalidOption("mel", ask.mel.shape, f"shape {(dims.n_mels, dims.n_frames)} with this model")
        with self._changed:
            if self._fault is not None:
                raise DeviceFault(str(self._fault))
            if self._is_closed or (self._is_draining and is_first):
                raise Draining
            if is_first and self._dispatch.waiting >= self._queue_limit:
                raise QueueFull(self._queue_limit)
            job = self._dispatch.add(ask, time.monotonic())
            self._hand_out()
        job.future.add_done_callback(partial(self._forget_cancelled, job))
        return job.future

    def _forget_cancelled(self, job: Job, future: Future[Hypothesis]) -> None:
        if not future.cancelled():
            return
        with self._changed:
            worker = self._dispatch.cancel(job)
            if worker is not None:
                self._process_of(worker).put(Cancel(id=job.id))
            else:  # no worker counts it
                self._unseen += EngineCounts(cancelled=1)
            self._hand_out()

    def _hand_out(self) -> None:
        """Send what can be sent, tell who waits. The lock is held."""
        for worker, job in self._dispatch.assign():
            waited_s = time.monotonic() - job.came_at
            self._process_of(worker).put(Window(id=job.id, ask=job.ask, waited_s=waited_s))
        self._changed.notify_all()

    def _process_of(self, worker: int) -> WorkerProcess:
        """Of a worker that has windows, or is about to: it is up."""
        life = self._seats[worker].life
        assert life is not None
        return life.process

    @property
    def status(self) -> PoolStatus:
        with self._changed:
            return PoolStatus(
                waiting=self._dispatch.waiting,
                decoding=self._dispatch.decoding,
                delivered=self._delivered,
                steps=sum(seat.steps for seat in self._seats),
                slots=self._spec.slots * sum(seat.state == "ready" for seat in self._seats),
                device_call_s=max(seat.device_call_s for seat in self._seats),
                counts=sum((seat.counts for seat in self._seats), self._unseen),
                workers=tuple(
                    seat.status(waiting=waiting, decoding=decoding)
                    for seat in self._seats
                    for waiting, decoding in [self._dispatch.load(seat.index)]
                ),
            )

    @property
    def fault(self) -> DeviceFault | None:
        """Set when no worker can be started any more."""
        return self._fault

    def drain(self, timeout_s: float | None = None) -> bool:
        """As Engine.drain; workers that die meanwhile are still replaced."""
        with self._changed:
            self._is_draining = True
            return self._changed.wait_for(lambda: not self._dispatch.waiting + self._dispatch.decoding, timeout_s)

    def close(self) -> None:
        """Fail what is not done with Draining and end every worker, by force after `stop_s`. Idempotent."""
        self._end(Draining())
        for seat in self._seats:
            if seat.thread is not threading.current_thread():
                seat.thread.join()

    def _end(self, error: NeuronWhisperError) -> None:
        """Take nothing any more, fail what is there, ask the workers to end."""
        with self._changed:
            jobs = self._dispatch.clear()
            if not self._is_closed:
                self._is_draining = self._is_closed = True
                self._kill_at = time.monotonic() + self._times.stop_s
                for life in (seat.life for seat in self._seats if seat.life is not None):
                    if life.ready_at is not None:
                        life.process.put(Stop())
                    else:
                        life.process.kill()  # it loads, has nothing to finish, and does not listen
            self._changed.notify_all()
        for job in jobs:
            _fail(job.future, error)

    # --- a thread for each worker, which starts it and reads from it ----------------------------------

    def _tend(self, seat: Seat) -> None:
        """One life after another."""
        while self._live(seat):
            with self._changed:
                delay_s = self._times.delay_s(seat.failures)
                if self._changed.wait_for(lambda: self._is_closed, delay_s):
                    return
                seat.restarts += 1

    def _live(self, seat: Seat) -> bool:
        """Start a worker and stay with it to its end; False when there is to be no other."""
        try:
            life = self._begin(seat)
        except OSError as error:
            return self._mourn(seat, DeviceFault(f"worker {seat.index}: no process can be started: {error}"))
        if life is None:
            return False
        process = life.process
        log.info("worker=%d started pid=%d restarts=%d", seat.index, process.pid, seat.restarts)
        try:
            while not self._is_overdue(life):
                if (message := process.receive(TICK_S)) is not None:
                    self._take(seat, life, message)
            process.kill()
        except EOFError:
            log.debug("worker=%d is gone", seat.index)
        except Exception:  # whatever it sent, it cannot be talked to
            log.exception("worker=%d sent what nobody understands", seat.index)
            process.kill()
        return self._bury(seat, life)

    def _begin(self, seat: Seat) -> Life | None:
        """A new process, None when the pool is closed. Raises OSError."""
        start = Start(
            opening=self._opening,
            threads=seat.group.threads,
            log_level=log.getEffectiveLevel(),
            beat_s=self._times.beat_s,
        )
        with self._changed:  # whoever closes the pool sees the process, or prevents it
            if self._is_closed:
                return None
            process = WorkerProcess(seat.index, seat.group, start)
            seat.life = Life(process, Watch(self._times, time.monotonic()))
            return seat.life

    def _is_overdue(self, life: Life) -> bool:
        now = time.monotonic()
        if self._is_closed:
            return now > self._kill_at
        overdue = life.watch.overdue(now)
        life.reason = overdue or life.reason
        return bool(overdue)

    def _take(self, seat: Seat, life: Life, message: FromWorker) -> None:
        now = time.monotonic()
        match message:
            case Answer() | Refused():
                with self._changed:
                    job = self._dispatch.finish(seat.index, message.id)
                    life.delivered += 1
                    self._delivered += job is not None
                    self._hand_out()
                if job is not None and isinstance(message, Answer):
                    _deliver(job.future, message.hypothesis)
                elif job is not None and isinstance(message, Refused):
                    _fail(job.future, message.error.error())
            case Beat():
                life.watch.beat(message.status, now)
                life.status = message.status
            case Ready():
                life.watch.ready(now)
                with self._changed:
                    if self._is_closed:  # it is being killed
                        return
                    seat.state, seat.error, life.ready_at = "ready", None, now
                    self._dispatch.join(seat.index)
                    self._hand_out()
                log.info("worker=%d ready pid=%d load_s=%.2f", seat.index, life.process.pid, message.load_s)
            case NotStarted():
                life.error = message.error.error()
            case Faulted():
                life.reason = f"device fault: {message.reason}"

    def _bury(self, seat: Seat, life: Life) -> bool:
        """Give its windows to others, then make sure of its end, which may take a while. False: no other is wanted."""
        with self._changed:
            n_held = sum(self._dispatch.load(seat.index))
            failed = self._dispatch.leave(seat.index)
            seat.life = None
            if seat.state != "failed":
                seat.state = "restarting"
            seat.steps_before += life.status.steps
            seat.counts_before += life.status.counts
            if life.was_of_use(time.monotonic()):
                seat.failures = 0
            self._hand_out()
        ended = life.process.end()
        reason = f"{life.reason}; {ended}" if life.reason else ended
        for job in failed:
            told = f"{job.deaths} workers died while they had this window, the last of {reason}"
            _fail(job.future, DeviceFault(told))
        if self._is_closed:
            log.info("worker=%d ended %s", seat.index, reason)
            return False
        log.warning(
            "worker=%d died pid=%d reason=%r retried=%d failed=%d",
            seat.index,
            life.process.pid,
            reason,
            n_held - len(failed),
            len(failed),
        )
        if life.was_of_use(time.monotonic()):
            return True
        error = life.error or DeviceFault(
            f"worker {seat.index} ended before it did anything ({reason}); it said last:\n{life.process.last_words}"
        )
        return self._mourn(seat, error)

    def _mourn(self, seat: Seat, error: NeuronWhisperError) -> bool:
        """One more life of no use. False when it was the last hope: the pool has failed."""
        with self._changed:
            seat.failures += 1
            seat.error = error
            if seat.failures >= MOST_FAILURES:
                seat.state = "failed"
            is_lost = not self._is_closed and all(it.state == "failed" for it in self._seats)
            if is_lost:
                self._fault = DeviceFault(f"no worker can be started: {error}")
            self._changed.notify_all()
        if is_lost:
            assert self._fault is not None
            log.critical("%s", self._fault)
            self._end(self._fault)
            self._on_fault(self._fault)
        return not is_lost


def _deliver(future: Future[Hypothesis], hypothesis: Hypothesis) -> None:
    try:
        future.set_result(hypothesis)
    except InvalidStateError:
        log.debug("a window was cancelled while its answer came")


def _fail(future: Future[Hypothesis], error: Exception) -> None:
    try:
        future.set_exception(error)
    except InvalidStateError:
        log.debug("a window was cancelled before it failed")
