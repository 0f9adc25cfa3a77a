"""What worker processes in tests load: a program without a network, held, killed and broken where a test says so."""

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

from neuron_whisper.decode.options import WindowOptions
from neuron_whisper.decode.window import Hypothesis, WindowAsk
from neuron_whisper.engine.pool import EnginePool
from neuron_whisper.engine.watchdog import PoolTimes
from neuron_whisper.engine.worker_resources import CoreGroup
from neuron_whisper.errors import DeviceFault, TargetUnavailable
from neuron_whisper.target.interfaces import Choices, ProgramSpec, Session
from neuron_whisper.text.special_tokens import N_TIMESTAMPS, SpecialTokens
from neuron_whisper.text.tokenizer import CHARACTER_OF_BYTE, Tokenizer
from tests.support import tiny_program
from tests.support.fake_session import FakeSession
from tests.support.paths import ROOT

PATIENCE_S = 120.0
QUICK = PoolTimes(start_s=PATIENCE_S, hang_s=PATIENCE_S, stop_s=5.0, backoff_s=0.01, most_backoff_s=0.05, beat_s=0.05)

# First values of a window's mel that the session takes for an order.
KILLS, FAULTS = 1e6, 2e6

_SPECIAL = SpecialTokens.laid_out(eot=256, n_languages=5, blank=ord(" "), is_multilingual=True)
_DIMS = replace(tiny_program.DIMS, n_vocab=_SPECIAL.timestamp_begin + N_TIMESTAMPS)


def spec(slots: int = 2) -> ProgramSpec:
    return tiny_program.spec(slots=slots, beams=1, dims=_DIMS, special=_SPECIAL)


def tokenizer() -> Tokenizer:
    """Its tokens are bytes."""
    return Tokenizer({CHARACTER_OF_BYTE[byte]: byte for byte in range(256)}, [], _SPECIAL)


def ask(seed: int, *, order: float | None = None) -> WindowAsk:
    mel = tiny_program.mel(1, dims=_DIMS, seed=seed)[0]
    if order is not None:
        mel[0, 0] = order
    return WindowAsk(mel=mel, options=WindowOptions(language="en", task="transcribe"))


class Gate:
    """A lock file: while the test holds it every session of every worker waits before its next step."""

    def __init__(self, directory: Path) -> None:
        self.path, self.arrivals = directory / "gate", directory / "arrivals"
        self.path.touch()
        os.mkfifo(self.arrivals)
        self._heard = os.open(self.arrivals, os.O_RDWR)  # open at both ends, so that nobody waits for the other
        self._held = os.open(self.path, os.O_RDONLY)

    def shut(self) -> None:
        fcntl.flock(self._held, fcntl.LOCK_EX)

    def open(self) -> None:
        fcntl.flock(self._held, fcntl.LOCK_UN)

    def next_arrival(self) -> int:
        """The pid of the next worker that comes to a step; waits for it."""
        digits = b""
        while not digits.endswith(b"\n"):
            digits += os.read(self._heard, 1)
        return int(digits)

    def close(self) -> None:
        os.close(self._held)
        os.close(self._heard)


class OrderedSession(FakeSession):
    """Does what a window orders when it is encoded; tells when it comes to a step, and passes the gate then."""

    def __init__(self, program: ProgramSpec, gate: Path | None) -> None:
        super().__init__(program)
        self._gate = gate

    def encode(self, slots: Sequence[int], mel: NDArray[np.float32]) -> None:
        for window in mel:
            if window[0, 0] == KILLS:
                os.kill(os.getpid(), signal.SIGKILL)
            if window[0, 0] == FAULTS:
                raise DeviceFault("the device does not answer")
        super().encode(slots, mel)

    def decode(self, *args: Any, **kwargs: Any) -> Choices:
        if self._gate is not None:
            with (self._gate.parent / "arrivals").open("w") as arrivals:
                arrivals.write(f"{os.getpid()}\n")
            with self._gate.open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH)
        return super().decode(*args, **kwargs)


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeOpening:
    """`start`: what happens at each start while the file `broken` is there, or always."""

    slots: int = 2
    gate: Path | None = None
    start: Literal["works", "refuses", "dies", "hangs"] = "works"
    broken: Path | None = None

    def open(self, threads: int) -> tuple[Session, Tokenizer]:
        if self.broken is None or self.broken.exists():
            self._fail()
        return OrderedSession(spec(self.slots), self.gate), tokenizer()

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
def pool(
    opening: FakeOpening | None = None, *, workers: int = 2, times: PoolTimes = QUICK, **options: Any
) -> Iterator[EnginePool]:
    opening = opening or FakeOpening()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    made = EnginePool(
        opening, spec(opening.slots), [CoreGroup(environment=environment)] * workers, times=times, **options
    )
    try:
        yield made
    finally:
        made.close()


def results(futures: Sequence[Future[Hypothesis]]) -> list[Hypothesis]:
    return [future.result(PATIENCE_S) for future in futures]


def main() -> None:
    """A process with a pool that prints its workers' pids and waits to be killed."""
    with pool() as made:
        sys.stdout.write(" ".join(str(worker.pid) for worker in made.status.workers) + "\n")
        sys.stdout.flush()
        threading.Event().wait()
