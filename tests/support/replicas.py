"""Worker processes for tests: they load a program without a network, and can be stopped, killed and broken."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.decode.window import DecodingResult, WindowRequest
from neuron_whisper.decode.window_options import WindowOptions
from neuron_whisper.engine.pool import EnginePool
from neuron_whisper.engine.watchdog import PoolTimeouts
from neuron_whisper.engine.worker_resources import WorkerResources
from neuron_whisper.errors import DeviceError, TargetUnavailable
from neuron_whisper.target.interfaces import ProgramSpec, Session, StepInputs, TopTokens
from neuron_whisper.text.special_tokens import N_TIMESTAMPS, SpecialTokens
from neuron_whisper.text.tokenizer import BYTE_TO_UNICODE, Tokenizer
from tests.support import tiny_program
from tests.support.fake_session import FakeSession
from tests.support.paths import ROOT

TIMEOUT_S = 120.0
QUICK_TIMEOUTS = PoolTimeouts(
    start_timeout_s=TIMEOUT_S,
    hang_timeout_s=TIMEOUT_S,
    stop_timeout_s=5.0,
    initial_backoff_s=0.01,
    max_backoff_s=0.05,
    heartbeat_interval_s=0.05,
)

# First values of a window's mel that are commands to the session.
KILL_WORKER, FAIL_DEVICE = 1e6, 2e6

_SPECIAL = SpecialTokens.from_layout(eot=256, n_languages=5, blank=ord(" "), is_multilingual=True)
_DIMS = replace(tiny_program.DIMS, n_vocab=_SPECIAL.timestamp_begin + N_TIMESTAMPS)


def spec(slots: int = 2) -> ProgramSpec:
    return tiny_program.spec(slots=slots, beams=1, dims=_DIMS, special=_SPECIAL)


def tokenizer() -> Tokenizer:
    """Its tokens are bytes."""
    return Tokenizer({BYTE_TO_UNICODE[byte]: byte for byte in range(256)}, [], _SPECIAL)


def window_request(seed: int, *, command: float | None = None) -> WindowRequest:
    mel = tiny_program.mel(1, dims=_DIMS, seed=seed)[0]
    if command is not None:
        mel[0, 0] = command
    return WindowRequest(mel=mel, options=WindowOptions(language="en", task="transcribe"))


class ProcessGate:
    """A lock file: while the test has locked it, every session of every worker waits before its next step."""

    def __init__(self, directory: Path) -> None:
        self.path, self.arrivals = directory / "gate", directory / "arrivals"
        self.path.touch()
        os.mkfifo(self.arrivals)
        self._arrivals_fd = os.open(
            self.arrivals, os.O_RDWR
        )  # opened at both ends, so that neither waits for the other
        self._lock_fd = os.open(self.path, os.O_RDONLY)

    def shut(self) -> None:
        fcntl.flock(self._lock_fd, fcntl.LOCK_EX)

    def open(self) -> None:
        fcntl.flock(self._lock_fd, fcntl.LOCK_UN)

    def next_arrival(self) -> int:
        """Wait for the next worker that comes to a step -> its pid."""
        digits = b""
        while not digits.endswith(b"\n"):
            digits += os.read(self._arrivals_fd, 1)
        return int(digits)

    def close(self) -> None:
        os.close(self._lock_fd)
        os.close(self._arrivals_fd)


class ScriptedSession(FakeSession):
    """Follows the command in a window when it is encoded; reports each step, and waits there at the gate."""

    def __init__(self, program: ProgramSpec, gate: Path | None) -> None:
        super().__init__(program)
        self._gate = gate

    def encode(self, slots: Sequence[int], mel: NDArray[np.float32]) -> None:
        for window in mel:
            if window[0, 0] == KILL_WORKER:
                os.kill(os.getpid(), signal.SIGKILL)
            if window[0, 0] == FAIL_DEVICE:
                raise DeviceError("the device does not answer")
        super().encode(slots, mel)

    def decode(self, inputs: StepInputs) -> TopTokens:
        if self._gate is not None:
            with (self._gate.parent / "arrivals").open("w") as arrivals:
                arrivals.write(f"{os.getpid()}\n")
            with self._gate.open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH)
        return super().decode(inputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeSessionFactory:
    """`start`: what happens at each start while the file `failure_marker` is there, or always."""

    slots: int = 2
    gate: Path | None = None
    start: Literal["works", "refuses", "dies", "hangs"] = "works"
    failure_marker: Path | None = None

    def open(self, threads: int) -> tuple[Session, Tokenizer]:
        if self.failure_marker is None or self.failure_marker.exists():
            self._fail()
        return ScriptedSession(spec(self.slots), self.gate), tokenizer()

    def _fail(self) -> None:
        if self.start == "refuses":
            raise TargetUnavailable("neuron", "no device", "buy one")
        if self.start in ("dies", "hangs"):
            os.write(2, b"nrt: core 0 is held by another\nnrt: giving up")
        if self.start == "dies":
            os._exit(9)
        if self.start == "hangs":
            threading.Event().wait()


@contextmanager
def running_pool(
    session_factory: FakeSessionFactory | None = None,
    *,
    workers: int = 2,
    timeouts: PoolTimeouts = QUICK_TIMEOUTS,
    **options: Any,
) -> Iterator[EnginePool]:
    session_factory = session_factory or FakeSessionFactory()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pool = EnginePool(
        session_factory,
        spec(session_factory.slots),
        [WorkerResources(environment=environment)] * workers,
        timeouts=timeouts,
        **options,
    )
    try:
        yield pool
    finally:
        pool.close()


def wait_for_results(futures: Sequence[Future[DecodingResult]]) -> list[DecodingResult]:
    return [future.result(TIMEOUT_S) for future in futures]


def main() -> None:
    """A process with a pool that prints its workers' pids and waits to be killed."""
    with running_pool() as pool:
        sys.stdout.write(" ".join(str(worker.pid) for worker in pool.status.workers) + "\n")
        sys.stdout.flush()
        threading.Event().wait()
