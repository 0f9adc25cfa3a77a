"""EnginePool: an engine in each of several worker processes; a worker that dies takes nothing with it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from functools import partial

from neuron_whisper.decode.window import DecodingResult, WindowRequest
from neuron_whisper.engine.dispatcher import Dispatcher, PoolRequest
from neuron_whisper.engine.interface import PoolStatus
from neuron_whisper.engine.messages import (
    CancelWindow,
    DecodeWindow,
    DeviceFailed,
    Heartbeat,
    Ready,
    Rejected,
    Start,
    StartFailed,
    Stop,
    WindowResult,
    WorkerEvent,
)
from neuron_whisper.engine.pool_worker import MAX_FAILED_RUNS, PoolWorker, WorkerRun
from neuron_whisper.engine.session_factory import SessionFactory
from neuron_whisper.engine.stats import EngineStats
from neuron_whisper.engine.watchdog import PoolTimeouts, Watchdog
from neuron_whisper.engine.worker_process import WorkerProcess
from neuron_whisper.engine.worker_resources import WorkerResources
from neuron_whisper.errors import DeviceError, EngineDraining, InvalidOption, NeuronWhisperError, QueueFull
from neuron_whisper.target.interfaces import ProgramSpec

log = logging.getLogger(__name__)

POLL_INTERVAL_S = 0.5  # how late a hung worker, or the end of our patience, may be seen


class EnginePool:
    """WindowEngine on one worker process for each group of cores.

    Dispatch says which worker gets a window, and how often a window is tried again whose worker died. A dead worker
    is started again, at once when it had done something, else ever later. When every worker failed MAX_FAILED_RUNS
    times in a row the pool's fault is set, and nothing is taken any more.
    """

    def __init__(
        self,
        session_factory: SessionFactory,
        spec: ProgramSpec,
        resources: Sequence[WorkerResources],
        *,
        queue_limit: int = 256,
        on_fault: Callable[[DeviceError], None] = lambda fault: None,
        timeouts: PoolTimeouts | None = None,
    ) -> None:
        """Returns when one worker is ready. Raises why the first one could not be started, when none could."""
        self._session_factory, self._spec = session_factory, spec
        self._queue_limit, self._on_fault, self._timeouts = queue_limit, on_fault, timeouts or PoolTimeouts()
        self._changed = threading.Condition()
        self._dispatcher = Dispatcher(len(resources), slots=spec.slots, prefetch=spec.encode_batch)
        self._is_draining = self._is_closed = False
        self._kill_at = float("inf")
        self._fault: DeviceError | None = None
        self._completed = 0
        self._pool_stats = EngineStats()
        self._workers = [PoolWorker(index, group) for index, group in enumerate(resources)]
        for seat in self._workers:
            seat.thread = threading.Thread(
                target=self._supervise, args=(seat,), name=f"worker-{seat.index}", daemon=True
            )
            seat.thread.start()
        try:
            self._wait_for_first_ready()
        except BaseException:
            self.close()
            raise

    def _wait_for_first_ready(self) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    any(seat.state == "ready" for seat in self._workers)
                    or all(seat.last_error is not None for seat in self._workers)
                )
            )
            if all(seat.last_error is not None for seat in self._workers):
                assert self._workers[0].last_error is not None
                raise self._workers[0].last_error

    # --- any thread -------------------------------------------------------------------------------

    def submit(self, request: WindowRequest, *, is_first: bool = True) -> Future[DecodingResult]:
        """As Engine.submit; the limit holds for all workers together. Never waits for a worker.

        Raises QueueFull, Draining, DeviceError, InvalidOption (a mel of the wrong shape).
        """
        dims = self._spec.dims
        if request.mel.shape != (dims.n_mels, dims.n_frames):
            raise InvalidOption("mel", request.mel.shape, f"shape {(dims.n_mels, dims.n_frames)} with this model")
        with self._changed:
            if self._fault is not None:
                raise DeviceError(str(self._fault))
            if self._is_closed or (self._is_draining and is_first):
                raise EngineDraining
            if is_first and self._dispatcher.waiting >= self._queue_limit:
                raise QueueFull(self._queue_limit)
            job = self._dispatcher.enqueue(request, time.monotonic())
            self._dispatch_ready()
        job.future.add_done_callback(partial(self._remove_cancelled, job))
        return job.future

    def _remove_cancelled(self, job: PoolRequest, future: Future[DecodingResult]) -> None:
        if not future.cancelled():
            return
        with self._changed:
            worker = self._dispatcher.cancel(job)
            if worker is not None:
                self._worker_process(worker).send(CancelWindow(id=job.id))
            else:  # no worker counts it
                self._pool_stats += EngineStats(cancelled=1)
            self._dispatch_ready()

    def _dispatch_ready(self) -> None:
        """Send what can be sent, tell who waits. The lock is held."""
        for worker, job in self._dispatcher.assign():
            waited_s = time.monotonic() - job.enqueued_at
            self._worker_process(worker).send(DecodeWindow(id=job.id, window=job.window, waited_s=waited_s))
        self._changed.notify_all()

    def _worker_process(self, worker: int) -> WorkerProcess:
        """Of a worker that has windows, or is about to: it is up."""
        life = self._workers[worker].current_run
        assert life is not None
        return life.process

    @property
    def status(self) -> PoolStatus:
        with self._changed:
            return PoolStatus(
                waiting=self._dispatcher.waiting,
                decoding=self._dispatcher.decoding,
                completed=self._completed,
                steps=sum(seat.steps for seat in self._workers),
                slots=self._spec.slots * sum(seat.state == "ready" for seat in self._workers),
                device_call_s=max(seat.device_call_s for seat in self._workers),
                stats=sum((seat.stats for seat in self._workers), self._pool_stats),
                workers=tuple(
                    seat.status(waiting=waiting, decoding=decoding)
                    for seat in self._workers
                    for waiting, decoding in [self._dispatcher.worker_load(seat.index)]
                ),
            )

    @property
    def fault(self) -> DeviceError | None:
        """Set when no worker can be started any more."""
        return self._fault

    def drain(self, timeout_s: float | None = None) -> bool:
        """As Engine.drain; workers that die meanwhile are still replaced."""
        with self._changed:
            self._is_draining = True
            return self._changed.wait_for(lambda: not self._dispatcher.waiting + self._dispatcher.decoding, timeout_s)

    def close(self) -> None:
        """Fail what is not done with Draining and end every worker, by force after `stop_timeout_s`. Idempotent."""
        self._shut_down(EngineDraining())
        for seat in self._workers:
            if seat.thread is not threading.current_thread():
                seat.thread.join()

    def _shut_down(self, error: NeuronWhisperError) -> None:
        """Take nothing any more, fail what is there, ask the workers to end."""
        with self._changed:
            jobs = self._dispatcher.clear()
            if not self._is_closed:
                self._is_draining = self._is_closed = True
                self._kill_at = time.monotonic() + self._timeouts.stop_timeout_s
                for life in (seat.current_run for seat in self._workers if seat.current_run is not None):
                    if life.ready_at is not None:
                        life.process.send(Stop())
                    else:
                        life.process.kill()  # it loads, has nothing to finish, and does not listen
            self._changed.notify_all()
        for job in jobs:
            _set_exception(job.future, error)

    # --- a thread for each worker, which starts it and reads from it ----------------------------------

    def _supervise(self, worker: PoolWorker) -> None:
        """One life after another."""
        while self._run_worker(worker):
            with self._changed:
                delay_s = self._timeouts.restart_delay_s(worker.failed_runs)
                if self._changed.wait_for(lambda: self._is_closed, delay_s):
                    return
                worker.restarts += 1

    def _run_worker(self, worker: PoolWorker) -> bool:
        """Start a worker and stay with it to its end; False when there is to be no other."""
        try:
            life = self._spawn(worker)
        except OSError as error:
            return self._record_failure(
                worker, DeviceError(f"worker {worker.index}: no process can be started: {error}")
            )
        if life is None:
            return False
        process = life.process
        log.info("worker=%d started pid=%d restarts=%d", worker.index, process.pid, worker.restarts)
        try:
            while not self._is_overdue(life):
                if (message := process.receive(POLL_INTERVAL_S)) is not None:
                    self._handle_message(worker, life, message)
            process.kill()
        except EOFError:
            log.debug("worker=%d is gone", worker.index)
        except Exception:  # whatever it sent, it cannot be talked to
            log.exception("worker=%d sent what nobody understands", worker.index)
            process.kill()
        return self._handle_exit(worker, life)

    def _spawn(self, worker: PoolWorker) -> WorkerRun | None:
        """A new process, None when the pool is closed. Raises OSError."""
        start = Start(
            session_factory=self._session_factory,
            threads=worker.resources.threads,
            log_level=log.getEffectiveLevel(),
            heartbeat_interval_s=self._timeouts.heartbeat_interval_s,
        )
        with self._changed:  # whoever closes the pool sees the process, or prevents it
            if self._is_closed:
                return None
            process = WorkerProcess(worker.index, worker.resources, start)
            worker.current_run = WorkerRun(process, Watchdog(self._timeouts, time.monotonic()))
            return worker.current_run

    def _is_overdue(self, run: WorkerRun) -> bool:
        now = time.monotonic()
        if self._is_closed:
            return now > self._kill_at
        overdue = run.watchdog.find_timeout(now)
        run.exit_reason = overdue or run.exit_reason
        return bool(overdue)

    def _handle_message(self, worker: PoolWorker, run: WorkerRun, message: WorkerEvent) -> None:
        now = time.monotonic()
        match message:
            case WindowResult() | Rejected():
                with self._changed:
                    job = self._dispatcher.finish(worker.index, message.id)
                    run.completed += 1
                    self._completed += job is not None
                    self._dispatch_ready()
                if job is not None and isinstance(message, WindowResult):
                    _set_result(job.future, message.result)
                elif job is not None and isinstance(message, Rejected):
                    _set_exception(job.future, message.error.to_error())
            case Heartbeat():
                run.watchdog.record_heartbeat(message.status, now)
                run.status = message.status
            case Ready():
                run.watchdog.record_ready(now)
                with self._changed:
                    if self._is_closed:  # it is being killed
                        return
                    worker.state, worker.last_error, run.ready_at = "ready", None, now
                    self._dispatcher.attach_worker(worker.index)
                    self._dispatch_ready()
                log.info("worker=%d ready pid=%d load_s=%.2f", worker.index, run.process.pid, message.load_s)
            case StartFailed():
                run.start_error = message.error.to_error()
            case DeviceFailed():
                run.exit_reason = f"device fault: {message.reason}"

    def _handle_exit(self, worker: PoolWorker, run: WorkerRun) -> bool:
        """Give its windows to others, then make sure of its end, which may take a while. False: no other is wanted."""
        with self._changed:
            n_held = sum(self._dispatcher.worker_load(worker.index))
            failed = self._dispatcher.detach_worker(worker.index)
            worker.current_run = None
            if worker.state != "failed":
                worker.state = "restarting"
            worker.past_steps += run.status.steps
            worker.past_stats += run.status.stats
            if run.made_progress(time.monotonic()):
                worker.failed_runs = 0
            self._dispatch_ready()
        ended = run.process.reap()
        reason = f"{run.exit_reason}; {ended}" if run.exit_reason else ended
        for job in failed:
            told = f"{job.crashes} workers died while they had this window, the last of {reason}"
            _set_exception(job.future, DeviceError(told))
        if self._is_closed:
            log.info("worker=%d ended %s", worker.index, reason)
            return False
        log.warning(
            "worker=%d died pid=%d reason=%r retried=%d failed=%d",
            worker.index,
            run.process.pid,
            reason,
            n_held - len(failed),
            len(failed),
        )
        if run.made_progress(time.monotonic()):
            return True
        error = run.start_error or DeviceError(
            f"worker {worker.index} ended before it did anything ({reason}); it said last:\n{run.process.last_output}"
        )
        return self._record_failure(worker, error)

    def _record_failure(self, worker: PoolWorker, error: NeuronWhisperError) -> bool:
        """One more life of no use. False when it was the last hope: the pool has failed."""
        with self._changed:
            worker.failed_runs += 1
            worker.last_error = error
            if worker.failed_runs >= MAX_FAILED_RUNS:
                worker.state = "failed"
            is_lost = not self._is_closed and all(it.state == "failed" for it in self._workers)
            if is_lost:
                self._fault = DeviceError(f"no worker can be started: {error}")
            self._changed.notify_all()
        if is_lost:
            assert self._fault is not None
            log.critical("%s", self._fault)
            self._shut_down(self._fault)
            self._on_fault(self._fault)
        return not is_lost


def _set_result(future: Future[DecodingResult], hypothesis: DecodingResult) -> None:
    try:
        future.set_result(hypothesis)
    except InvalidStateError:
        log.debug("a window was cancelled while its answer came")


def _set_exception(future: Future[DecodingResult], error: Exception) -> None:
    try:
        future.set_exception(error)
    except InvalidStateError:
        log.debug("a window was cancelled before it failed")
