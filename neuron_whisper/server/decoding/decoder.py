"""Decoder: one decoder process, as the event loop sees it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from neuron_whisper.audio.process.messages import Message, MessageSocket


class DecoderGone(Exception):
    """The process ended before it had read anything of the file."""


class Decoder:
    """A decoder process, used for one file at a time. On the event loop only."""

    def __init__(self, pid: int, connection: socket.socket) -> None:
        self.pid = pid
        self._messages = MessageSocket(connection)
        # a number can be another process's by the time of a kill; a descriptor cannot
        self._handle: int | None = None
        if hasattr(os, "pidfd_open"):
            with suppress(OSError):
                self._handle = os.pidfd_open(pid)

    @property
    def is_alive(self) -> bool:
        return not self._messages.is_closed()

    async def run(self, request: Mapping[str, Any], descriptor: int, *, stall_s: float) -> Message:
        """The reply to a request about an open file.

        Raises EOFError when the process ends, DecoderGone when it had before, and TimeoutError when it decodes nothing
        for `stall_s`.
        """
        is_accepted = False
        try:
            self._messages.send(request, descriptor)
            while True:
                async with asyncio.timeout(stall_s):
                    message = await self._receive()
                if message.fields.keys().isdisjoint(("accepted", "progress")):
                    return message
                is_accepted = True
        except TimeoutError:  # an OSError as well
            raise
        except (EOFError, OSError):
            raise EOFError if is_accepted else DecoderGone from None

    async def _receive(self) -> Message:
        loop = asyncio.get_running_loop()
        while True:
            for message in self._messages.receive_ready():
                return message
            readable = loop.create_future()
            loop.add_reader(self._messages.fileno(), _set_done, readable)
            try:
                await readable
            finally:
                loop.remove_reader(self._messages.fileno())

    def kill(self) -> None:
        """End the process at once, whatever it does; it still has to be reaped."""
        with suppress(ProcessLookupError):
            if self._handle is None:
                os.kill(self.pid, signal.SIGKILL)
            else:
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
        self.close()

    def close(self) -> None:
        """Close the connection; an idle process ends then."""
        self._messages.close()
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _set_done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
