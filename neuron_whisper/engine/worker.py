"""A worker process: one engine, whose windows come from and go back to a pool over an inherited socket.

    python -P -m neuron_whisper.engine.worker SOCKET PARENT CPUS

SOCKET is a descriptor, PARENT the pool's process, CPUS such as 0,1 or - for any. Nothing that starts threads or
touches a device is imported before the process is bound to its processors.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import threading
import time
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neuron_whisper.decode.window import Hypothesis
    from neuron_whisper.engine.engine import Engine
    from neuron_whisper.engine.messages import Channel
    from neuron_whisper.errors import DeviceFault

log = logging.getLogger("neuron_whisper.engine.worker")  # __name__ is __main__ here

PR_SET_PDEATHSIG = 1  # linux/prctl.h
NO_SUCCESS, FAULT, ORPHANED = 1, 70, 75  # exit codes; the latter are sysexits.h's EX_SOFTWARE and EX_TEMPFAIL


def main() -> int:
    """Work until the pool says stop, or is gone. Returns the exit code."""
    descriptor, parent, cpus = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    _stand_apart(descriptor, parent)
    if cpus != "-" and sys.platform == "linux":
        os.sched_setaffinity(0, [int(cpu) for cpu in cpus.split(",")])

    from multiprocessing.connection import Connection

    from neuron_whisper.engine.messages import Channel
    from neuron_whisper.host.malloc import limit_heaps

    limit_heaps()
    return _work(Channel(Connection(descriptor)))


def _stand_apart(descriptor: int, parent: int) -> None:
    """End with the parent, but not with its terminal."""
    # A service manager and a terminal signal the whole group: who drains needs the workers until the end.
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    os.set_inheritable(descriptor, False)  # a child of ours would keep the socket open when we are gone
    if sys.platform == "linux":
        # The socket's end tells as well, but only to a thread that runs: a device call may hold the interpreter.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        os._exit(ORPHANED)


def _work(channel: Channel) -> int:
    from neuron_whisper.engine.engine import Engine
    from neuron_whisper.engine.messages import CarriedError, NotStarted, Ready, Start
    from neuron_whisper.errors import NeuronWhisperError

    try:
        start = channel.receive()
    except EOFError:
        return ORPHANED
    assert isinstance(start, Start)
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("neuron_whisper").setLevel(start.log_level)
    began = time.perf_counter()
    try:
        session, tokenizer = start.opening.open(start.threads)
    except NeuronWhisperError as error:
        log.debug("not started", exc_info=True)
        channel.send(NotStarted(error=CarriedError.of(error)))
        return NO_SUCCESS
    engine = Engine(session, tokenizer, on_fault=partial(_end_with, channel))
    channel.send(Ready(load_s=time.perf_counter() - began))
    threading.Thread(target=_beat, args=(channel, engine, start.beat_s), name="beat", daemon=True).start()
    try:
        _serve(channel, engine)
    except (EOFError, OSError):
        os._exit(ORPHANED)  # nobody is there to answer to, and a step may never end
    engine.close()
    return 0


def _serve(channel: Channel, engine: Engine) -> None:
    """Windows in, answers out, until Stop. Raises EOFError when the pool is gone."""
    from neuron_whisper.engine.messages import Cancel, CarriedError, Refused, Stop, Window
    from neuron_whisper.errors import DeviceFault, NeuronWhisperError

    futures: dict[int, Future[Hypothesis]] = {}
    while not isinstance(message := channel.receive(), Stop):
        match message:
            case Window():
                try:
                    # the pool has counted the queue
                    future = engine.submit(message.ask, is_first=False, waited_s=message.waited_s)
                except DeviceFault:
                    log.debug("a window came after the fault")  # it is tried elsewhere
                except NeuronWhisperError as error:
                    channel.send(Refused(id=message.id, error=CarriedError.of(error)))
                else:
                    futures[message.id] = future
                    future.add_done_callback(partial(_deliver, channel, futures, message.id))
            case Cancel():
                if (held := futures.pop(message.id, None)) is not None:
                    held.cancel()


def _deliver(
    channel: Channel, futures: dict[int, Future[Hypothesis]], window_id: int, future: Future[Hypothesis]
) -> None:
    """Send what became of a window; called by the engine's thread."""
    from neuron_whisper.engine.messages import Answer, CarriedError, Refused
    from neuron_whisper.errors import DeviceFault, Draining, NeuronWhisperError

    futures.pop(window_id, None)
    if future.cancelled():
        return
    error = future.exception()
    try:
        if error is None:
            channel.send(Answer(id=window_id, hypothesis=future.result()))
        elif isinstance(error, NeuronWhisperError) and not isinstance(error, DeviceFault | Draining):
            channel.send(Refused(id=window_id, error=CarriedError.of(error)))
    except OSError:
        log.debug("the pool is gone")


def _beat(channel: Channel, engine: Engine, every_s: float) -> None:
    from neuron_whisper.engine.messages import Beat

    try:
        while True:
            channel.send(Beat(status=engine.status))
            time.sleep(every_s)
    except OSError:
        log.debug("the pool is gone")


def _end_with(channel: Channel, fault: DeviceFault) -> None:
    """A session that cannot be trusted is not closed either: that may hang."""
    from neuron_whisper.engine.messages import Faulted

    try:
        channel.send(Faulted(reason=str(fault)))
    finally:
        os._exit(FAULT)


if __name__ == "__main__":
    sys.exit(main())
