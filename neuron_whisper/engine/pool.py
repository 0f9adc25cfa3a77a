"""EnginePool: one engine in each of several worker processes; the work of a worker that dies is done by another."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial

from neuron_whisper.decode.window import DecodingResult, WindowRequest
from neuron_whisper.engine.dispatcher import Dispatcher, PoolRequest
from neuron_whisper.engine.engine import check_mel
from neuron_whisper.engine.futures import set_exception, set_result
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
from neuron_whisper.errors import DeviceError, EngineDraining, NeuronWhisperError, QueueFull
from neuron_whisper.target.interfaces import ProgramSpec

log = logging.getLogger(__name__)


class EnginePool:
    """WindowEngine that runs one worker process for each share of the machine.

    Dispatcher assigns windows to workers and decides how often the window of a dead worker is decoded again. A dead
    worker is restarted: at once when it had made progress, else after a delay that doubles each time. When every
    worker failed MAX_FAILED_RUNS times in a row, `device_error` is set and no window is accepted any more.
    """

    def __init__(
        self,
        session_factory: SessionFactory,
        spec: ProgramSpec,
        resources: Sequence[WorkerResources],
        *,
        queue_limit: int = 256,
        on_device_error: Callable[[DeviceError], None] = lambda error: None,
        timeouts: PoolTimeouts | None = None,
    ) -> None:
        """Returns when one worker is ready. When none can be started, raises the error of the first one."""
        self._session_factory, self._spec = session_factory, spec
        self._queue_limit, self._on_device_error, self._timeouts = (
            queue_limit,
            on_device_error,
            timeouts or PoolTimeouts(),
        )
        self._changed = threading.Condition()
        self._dispatcher = Dispatcher(len(resources), slots=spec.slots, prefetch=spec.encode_batch)
        self._is_draining = self._is_closed = False
        self._kill_at = float("inf")
        self._device_error: DeviceError | None = None
        self._completed = 0
        self._pool_stats = EngineStats()
        self._workers = [PoolWorker(index, share) for index, share in enumerate(resources)]
        for worker in self._workers:
            worker.thread = threading.Thread(
                target=self._supervise, args=(worker,), name=f"worker-{worker.index}", daemon=True
            )
            worker.thread.start()
        try:
            self._wait_for_first_ready()
        except BaseException:
            self.close()
            raise

    def _wait_for_first_ready(self) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    any(worker.state == "ready" for worker in self._workers)
                    or all(worker.last_error is not None for worker in self._workers)
                )
            )
            if all(worker.last_error is not None for worker in self._workers):
                assert self._workers[0].last_error is not None
                raise self._workers[0].last_error

    # --- any thread -------------------------------------------------------------------------------

    def submit(self, request: WindowRequest, *, is_first: bool = True) -> Future[DecodingResult]:
        """As Engine.submit; the limit holds for all workers together. Never waits for a worker.

        Raises QueueFull, EngineDraining, DeviceError, InvalidOption (a mel that is none).
        """
        check_mel(request.mel, self._spec)
        with self._changed:
            if self._device_error is not None:
                raise DeviceError(str(self._device_error))
            if self._is_closed or (self._is_draining and is_first):
                raise EngineDraining
            if is_first and self._dispatcher.waiting >= self._queue_limit:
                raise QueueFull(self._queue_limit)
            pool_request = self._dispatcher.enqueue(request, time.monotonic())
            self._dispatch_ready()
        pool_request.future.add_done_callback(partial(self._remove_cancelled, pool_request))
        return pool_request.future

    def _remove_cancelled(self, request: PoolRequest, future: Future[DecodingResult]) -> None:
        if not future.cancelled():
            return
        with self._changed:
            worker = self._dispatcher.cancel(request)
            if worker is not None:
                self._worker_process(worker).send(CancelWindow(id=request.id))
            else:  # it is in no worker's statistics
                self._pool_stats += EngineStats(cancelled=1)
            self._dispatch_ready()

    def _dispatch_ready(self) -> None:
        """Send the windows that a worker has capacity for, and wake the waiting threads. The lock is held."""
        for worker, request in self._dispatcher.assign():
            waited_s = time.monotonic() - request.enqueued_at
            self._worker_process(worker).send(DecodeWindow(id=request.id, window=request.window, waited_s=waited_s))
        self._changed.notify_all()

    def _worker_process(self, worker: int) -> WorkerProcess:
        """The process of an attached worker: Dispatcher assigns windows to no other."""
        run = self._workers[worker].current_run
        assert run is not None
        return run.process

    @property
    def status(self) -> PoolStatus:
        with self._changed:
            return PoolStatus(
                waiting=self._dispatcher.waiting,
                decoding=self._dispatcher.decoding,
                completed=self._completed,
                steps=sum(worker.steps for worker in self._workers),
                slots=self._spec.slots * sum(worker.state == "ready" for worker in self._workers),
                device_call_s=max(worker.device_call_s for worker in self._workers),
                stats=sum((worker.stats for worker in self._workers), self._pool_stats),
                workers=tuple(
                    worker.status(waiting=waiting, decoding=decoding)
                    for worker in self._workers
                    for waiting, decoding in [self._dispatcher.worker_load(worker.index)]
                ),
            )

    @property
    def device_error(self) -> DeviceError | None:
        """Set when no worker can be started any more, and with it no window decoded."""
        return self._device_error

    def drain(self, timeout_s: float | None = None) -> bool:
        """As Engine.drain; workers that die meanwhile are still restarted."""
        with self._changed:
            self._is_draining = True
            return self._changed.wait_for(lambda: not self._dispatcher.waiting + self._dispatcher.decoding, timeout_s)

    def close(self) -> None:
        """Fail unfinished windows with EngineDraining and end the workers, killed after `stop_timeout_s`."""
        self._shut_down(EngineDraining())
        for worker in self._workers:
            if worker.thread is not threading.current_thread():
                worker.thread.join()

    def _shut_down(self, error: NeuronWhisperError) -> None:
        """Accept no window any more, fail the unfinished ones with `error` and send Stop to the workers."""
        with self._changed:
            requests = self._dispatcher.clear()
            if not self._is_closed:
                self._is_draining = self._is_closed = True
                self._kill_at = time.monotonic() + self._timeouts.stop_timeout_s
                for run in (worker.current_run for worker in self._workers if worker.current_run is not None):
                    if run.ready_at is not None:
                        run.process.send(Stop())
                    else:
                        run.process.kill()  # it is loading: it has no window to finish and reads no messages
            self._changed.notify_all()
        for request in requests:
            set_exception(request.future, error)

    # --- one thread for each worker, which starts it and reads its messages ---------------------------

    def _supervise(self, worker: PoolWorker) -> None:
        """Run the worker again and again, with a delay where it failed."""
        while self._run_worker(worker):
            with self._changed:
                delay_s = self._timeouts.restart_delay_s(worker.failed_runs)
                if self._changed.wait_for(lambda: self._is_closed, delay_s):
                    return
                worker.restarts += 1

    def _run_worker(self, worker: PoolWorker) -> bool:
        """Start a process and handle its messages until it ends. False when the worker is not to be restarted."""
        try:
            run = self._spawn(worker)
        except OSError as error:
            return self._record_failure(
                worker, DeviceError(f"worker {worker.index}: no process can be started: {error}")
            )
        if run is None:
            return False
        process = run.process
        log.info("worker=%d started pid=%d restarts=%d", worker.index, process.pid, worker.restarts)
        try:
            while not self._is_overdue(run):
                if (message := process.receive(self._timeouts.poll_interval_s)) is not None:
                    self._handle_message(worker, run, message)
            process.kill()
        except EOFError:
            log.debug("worker=%d closed its connection", worker.index)
        except Exception:  # after a message that cannot be read, the next one cannot be found either
            log.exception("worker=%d sent an invalid message", worker.index)
            process.kill()
        return self._handle_exit(worker, run)

    def _spawn(self, worker: PoolWorker) -> WorkerRun | None:
        """Start a process; None when the pool is closed. Raises OSError."""
        start = Start(
            session_factory=self._session_factory,
            threads=worker.resources.threads,
            log_level=log.getEffectiveLevel(),
            heartbeat_interval_s=self._timeouts.heartbeat_interval_s,
        )
        with self._changed:  # close() either sees this process or keeps it from being started
            if self._is_closed:
                return None
            process = WorkerProcess(
                worker.index, worker.resources, start, message_timeout_s=self._timeouts.hang_timeout_s
            )
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
                    request = self._dispatcher.finish(worker.index, message.id)
                    run.completed += 1
                    self._completed += request is not None
                    self._dispatch_ready()
                if request is not None and isinstance(message, WindowResult):
                    set_result(request.future, message.result)
                elif request is not None and isinstance(message, Rejected):
                    set_exception(request.future, message.error.to_error())
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
                run.exit_reason = f"device error: {message.reason}"

    def _handle_exit(self, worker: PoolWorker, run: WorkerRun) -> bool:
        """Queue its windows again and reap the process, which may take seconds. False: it is not to be restarted."""
        with self._changed:
            n_assigned = sum(self._dispatcher.worker_load(worker.index))
            failed = self._dispatcher.detach_worker(worker.index)
            worker.current_run = None
            if worker.state != "failed":
                worker.state = "restarting"
            worker.past_steps += run.status.steps
            worker.past_stats += run.status.stats
            if run.made_progress(time.monotonic()):
                worker.failed_runs = 0
            self._dispatch_ready()
        exit_status = run.process.reap()
        reason = f"{run.exit_reason}; {exit_status}" if run.exit_reason else exit_status
        for request in failed:
            text = f"{request.crashes} workers died while they decoded this window, the last one by {reason}"
            set_exception(request.future, DeviceError(text))
        if self._is_closed:
            log.info("worker=%d ended %s", worker.index, reason)
            return False
        log.warning(
            "worker=%d died pid=%d reason=%r retried=%d failed=%d",
            worker.index,
            run.process.pid,
            reason,
            n_assigned - len(failed),
            len(failed),
        )
        if run.made_progress(time.monotonic()):
            return True
        error = run.start_error or DeviceError(
            f"worker {worker.index} ended before it did any work ({reason}); "
            f"its last output:\n{run.process.last_output}"
        )
        return self._record_failure(worker, error)

    def _record_failure(self, worker: PoolWorker, error: NeuronWhisperError) -> bool:
        """Count a run without progress. False when every worker has failed, and with them the pool."""
        with self._changed:
            worker.failed_runs += 1
            worker.last_error = error
            if worker.failed_runs >= MAX_FAILED_RUNS:
                worker.state = "failed"
            is_lost = not self._is_closed and all(other.state == "failed" for other in self._workers)
            if is_lost:
                self._device_error = DeviceError(f"no worker can be started: {error}")
            self._changed.notify_all()
        if is_lost:
            assert self._device_error is not None
            log.critical("%s", self._device_error)
            self._shut_down(self._device_error)
            self._on_device_error(self._device_error)
        return not is_lost
