"""MessageSocket: JSON messages with file descriptors over a Unix socket. Nothing is unpickled."""

from __future__ import annotations

import json
import os
import socket
from array import array
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from neuron_whisper import errors
from neuron_whisper.errors import InputError

RECEIVE_BYTES = 1 << 16
MAX_MESSAGE_BYTES = 1 << 20  # of a name, options, warnings; a decoder that sends more is not one
INT_BYTES = array("i").itemsize
ANCILLARY_BYTES = socket.CMSG_SPACE(4 * INT_BYTES)
RECEIVE_FLAGS = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


@dataclass(frozen=True, slots=True)
class Message:
    """One message; who receives it closes its descriptors."""

    fields: Mapping[str, Any]
    descriptors: tuple[int, ...] = ()

    def close(self) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)


class MessageSocket:
    """One end of a socket pair. `receive` waits for a message; `receive_ready` takes what has arrived."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = bytearray()
        self._descriptors: deque[int] = deque()
        self._messages: deque[Message] = deque()

    def fileno(self) -> int:
        return self._connection.fileno()

    def send(self, fields: Mapping[str, Any], *descriptors: int) -> None:
        """Send one message. Raises OSError when the other end is closed."""
        data = json.dumps({"fields": fields, "descriptors": len(descriptors)}).encode() + b"\n"
        sent = socket.send_fds(self._connection, [data], descriptors) if descriptors else 0
        self._connection.sendall(data[sent:])

    def receive(self) -> Message:
        """The next message. Raises EOFError when the other end is closed, or sends what is no message."""
        while not self._messages:
            self._read(RECEIVE_FLAGS)
        return self._messages.popleft()

    def receive_ready(self) -> Iterator[Message]:
        """The messages that have arrived, without waiting. Raises EOFError as `receive` does."""
        if not self._messages:
            with suppress(BlockingIOError):
                self._read(RECEIVE_FLAGS | socket.MSG_DONTWAIT)
        while self._messages:
            yield self._messages.popleft()

    def is_closed(self) -> bool:
        """Whether the other end is closed."""
        try:
            return not self._connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        for message in self._messages:
            message.close()
        while self._descriptors:
            os.close(self._descriptors.popleft())
        self._messages.clear()
        self._connection.close()

    def _read(self, flags: int) -> None:
        try:
            data, ancillary, _, _ = self._connection.recvmsg(RECEIVE_BYTES, ANCILLARY_BYTES, flags)
        except ConnectionError:
            raise EOFError from None
        for level, kind, content in ancillary:  # not socket.recv_fds, which ignores the flags before Python 3.12
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors = array("i", content[: len(content) // INT_BYTES * INT_BYTES])
                self._descriptors.extend(descriptors)
        if not data:
            raise EOFError
        self._received += data
        *lines, rest = self._received.split(b"\n")
        self._received = rest
        if len(rest) > MAX_MESSAGE_BYTES:
            raise EOFError
        for line in lines:
            self._messages.append(self._parse(bytes(line)))

    def _parse(self, line: bytes) -> Message:
        try:
            parsed = json.loads(line)
            count = parsed["descriptors"]
            return Message(parsed["fields"], tuple(self._descriptors.popleft() for _ in range(count)))
        except (ValueError, KeyError, TypeError, IndexError):
            raise EOFError from None


def to_error_fields(error: InputError) -> dict[str, Any]:
    """An error in parts that JSON can carry."""
    return {"type": type(error).__name__, "message": str(error), "fields": vars(error)}


def from_error_fields(parts: Mapping[str, Any]) -> InputError:
    """The error that `to_error_fields` was called with. Raises ValueError for what is no InputError."""
    error_type = getattr(errors, str(parts["type"]), None)
    if not (isinstance(error_type, type) and issubclass(error_type, InputError)):
        raise ValueError(parts["type"])
    error = error_type.__new__(error_type, str(parts["message"]))
    vars(error).update(parts["fields"])
    return error
