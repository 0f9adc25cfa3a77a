"""A process that imports the audio code once and forks decoder processes from there.

    python -P -m neuron_whisper.audio.process.forkserver SOCKET

A decoder that was killed is replaced in milliseconds, and all share the memory of the imported code. It ends, with all
its decoders, when the other end of SOCKET, a descriptor, is closed, which the system does however the parent ends.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress

from neuron_whisper.audio.process.decoder import run_decoder
from neuron_whisper.audio.process.messages import Message, MessageSocket
from neuron_whisper.host.malloc import configure_malloc

LATE_IMPORT = "scipy.signal"  # most of a second, for rates other than 16 kHz; a fork that comes before does it itself
IDLE_S = 1.0  # before the late import
REAP_TIMEOUT_S = 5.0  # for a killed process, which may hang in the system for a while
REAP_POLL_S = 0.001


class Forkserver:
    """The loop of the process, which has one thread."""

    def __init__(self, messages: MessageSocket) -> None:
        self._messages = messages
        self._children: set[int] = set()
        self._is_complete = False  # whether everything is imported

    def run(self) -> None:
        self._messages.send({"ready": True})
        while True:
            if not select.select([self._messages], [], [], None if self._is_complete else IDLE_S)[0]:
                importlib.import_module(LATE_IMPORT)
                gc.freeze()
                self._is_complete = True
                continue
            for message in self._messages.receive_ready():
                self._handle(message)

    def _handle(self, message: Message) -> None:
        if "reap" in message.fields:
            self._messages.send({"status": self._reap(message.fields["reap"])})
            return
        (descriptor,) = message.descriptors
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._run_child(descriptor, parent)
        message.close()
        self._children.add(pid)
        self._messages.send({"pid": pid})

    def _run_child(self, descriptor: int, parent: int) -> None:
        code = 1
        try:
            self._messages.close()
            run_decoder(socket.socket(fileno=descriptor), parent)
            code = 0
        finally:
            os._exit(code)  # nothing of the parent's is flushed or closed twice

    def _reap(self, pid: int) -> int | None:
        """Wait for the end of a child -> its wait status; None when it goes on, or is an earlier forkserver's."""
        if pid not in self._children:
            return None
        deadline = time.monotonic() + REAP_TIMEOUT_S
        while True:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                self._children.discard(pid)
                return status
            if time.monotonic() > deadline:
                return None
            time.sleep(REAP_POLL_S)

    def kill_children(self) -> None:
        for pid in self._children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in list(self._children):
            with suppress(ChildProcessError):
                self._reap(pid)


def main() -> None:
    """Run until the parent closes its end."""
    for ignored in (signal.SIGINT, signal.SIGTERM):  # the terminal's; the parent decides when the work is done
        signal.signal(ignored, signal.SIG_IGN)
    configure_malloc()
    gc.freeze()
    connection = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(connection.fileno(), False)
    forkserver = Forkserver(MessageSocket(connection))
    try:
        forkserver.run()
    except (EOFError, ConnectionError):
        forkserver.kill_children()
        os._exit(0)  # the parent waits, and to unload libraries takes a while


if __name__ == "__main__":
    main()
