"""A worker process: one engine, which gets windows from a pool and returns results over an inherited socket.

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
    from neuron_whisper.decode.window import DecodingResult
    from neuron_whisper.engine.engine import Engine
    from neuron_whisper.engine.messages import Channel
    from neuron_whisper.errors import DeviceError

log = logging.getLogger("neuron_whisper.engine.worker")  # __name__ is __main__ here

PR_SET_PDEATHSIG = 1  # linux/prctl.h
EXIT_START_FAILED, EXIT_DEVICE_FAILED, EXIT_ORPHANED = (
    1,
    70,
    75,
)  # exit codes; 70 and 75 are EX_SOFTWARE and EX_TEMPFAIL of sysexits.h


def main() -> int:
    """Run until the pool sends Stop, or has ended -> the exit code."""
    descriptor, parent, cpus = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    _bind_lifetime_to_parent(descriptor, parent)
    if cpus != "-" and sys.platform == "linux":
        os.sched_setaffinity(0, [int(cpu) for cpu in cpus.split(",")])

    from multiprocessing.connection import Connection

    from neuron_whisper.engine.messages import Channel
    from neuron_whisper.host.malloc import configure_malloc

    configure_malloc()
    return _run_worker(Channel(Connection(descriptor)))


def _bind_lifetime_to_parent(descriptor: int, parent: int) -> None:
    """End when the parent ends, and not by the signals of its terminal."""
    # A service manager and a terminal signal the whole group, but a parent that drains needs its workers to the end.
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    os.set_inheritable(descriptor, False)  # a child of ours would keep the socket open after our end
    if sys.platform == "linux":
        # A closed socket ends us too, but only if a thread runs to see it: a device call may hold the interpreter lock.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the line above
        os._exit(EXIT_ORPHANED)


def _run_worker(channel: Channel) -> int:
    from neuron_whisper.engine.engine import Engine
    from neuron_whisper.engine.messages import Ready, SerializedError, Start, StartFailed
    from neuron_whisper.errors import NeuronWhisperError

    try:
        start = channel.receive()
    except EOFError:
        return EXIT_ORPHANED
    assert isinstance(start, Start)
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("neuron_whisper").setLevel(start.log_level)
    started_at = time.perf_counter()
    try:
        session, tokenizer = start.session_factory.open(start.threads)
    except NeuronWhisperError as error:
        log.debug("not started", exc_info=True)
        channel.send(StartFailed(error=SerializedError.from_error(error)))
        return EXIT_START_FAILED
    engine = Engine(session, tokenizer, on_device_error=partial(_exit_on_device_error, channel))
    channel.send(Ready(load_s=time.perf_counter() - started_at))
    threading.Thread(
        target=_send_heartbeats, args=(channel, engine, start.heartbeat_interval_s), name="heartbeat", daemon=True
    ).start()
    try:
        _serve(channel, engine)
    except (EOFError, OSError):
        os._exit(EXIT_ORPHANED)  # the pool has ended, and waiting for a step could take for ever
    engine.close()
    return 0


def _serve(channel: Channel, engine: Engine) -> None:
    """Decode the windows that come in, until Stop. Raises EOFError when the pool has ended."""
    from neuron_whisper.engine.messages import CancelWindow, DecodeWindow, Rejected, SerializedError, Stop
    from neuron_whisper.errors import DecodingFailed, DeviceError, NeuronWhisperError

    futures: dict[int, Future[DecodingResult]] = {}
    while not isinstance(message := channel.receive(), Stop):
        match message:
            case DecodeWindow():
                try:
                    # the queue limit is the pool's
                    future = engine.submit(message.window, is_first=False, waited_s=message.waited_s)
                except DeviceError:
                    log.debug("a window came after the device error")  # another worker decodes it
                except NeuronWhisperError as error:
                    channel.send(Rejected(id=message.id, error=SerializedError.from_error(error)))
                except Exception as error:  # this window cannot be decoded; the others can
                    log.exception("a window cannot be decoded")
                    failed = DecodingFailed(f"{type(error).__name__}: {error}")
                    channel.send(Rejected(id=message.id, error=SerializedError.from_error(failed)))
                else:
                    futures[message.id] = future
                    future.add_done_callback(partial(_send_result, channel, futures, message.id))
            case CancelWindow():
                if (cancelled := futures.pop(message.id, None)) is not None:
                    cancelled.cancel()


def _send_result(
    channel: Channel, futures: dict[int, Future[DecodingResult]], window_id: int, future: Future[DecodingResult]
) -> None:
    """Send the result or the error of a window. Called by the engine's thread."""
    from neuron_whisper.engine.messages import Rejected, SerializedError, WindowResult
    from neuron_whisper.errors import DeviceError, EngineDraining, NeuronWhisperError

    futures.pop(window_id, None)
    if future.cancelled():
        return
    error = future.exception()
    try:
        if error is None:
            channel.send(WindowResult(id=window_id, result=future.result()))
        elif isinstance(error, NeuronWhisperError) and not isinstance(error, DeviceError | EngineDraining):
            channel.send(Rejected(id=window_id, error=SerializedError.from_error(error)))
    except OSError:
        log.debug("the pool closed the connection")


def _send_heartbeats(channel: Channel, engine: Engine, interval_s: float) -> None:
    from neuron_whisper.engine.messages import Heartbeat

    try:
        while True:
            channel.send(Heartbeat(status=engine.status))
            time.sleep(interval_s)
    except OSError:
        log.debug("the pool closed the connection")


def _exit_on_device_error(channel: Channel, error: DeviceError) -> None:
    """End the process without closing the session: after a device error that may hang."""
    from neuron_whisper.engine.messages import DeviceFailed

    try:
        channel.send(DeviceFailed(reason=str(error)))
    finally:
        os._exit(EXIT_DEVICE_FAILED)


if __name__ == "__main__":
    sys.exit(main())
