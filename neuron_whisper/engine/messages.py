"""Messages between a pool and its workers, and the channel that carries them."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from neuron_whisper.decode.window import DecodingResult, WindowRequest
from neuron_whisper.engine.engine import EngineStatus
from neuron_whisper.engine.session_factory import SessionFactory
from neuron_whisper.errors import NeuronWhisperError


@dataclass(frozen=True, slots=True, kw_only=True)
class SerializedError:
    """An error of the tree in parts: its own pickle would call the class with the message in place of its fields."""

    error_type: type[NeuronWhisperError]
    args: tuple[Any, ...]
    fields: Mapping[str, Any]

    @classmethod
    def from_error(cls, error: NeuronWhisperError) -> SerializedError:
        return cls(error_type=type(error), args=error.args, fields=dict(vars(error)))

    def to_error(self) -> NeuronWhisperError:
        error = self.error_type.__new__(self.error_type, *self.args)
        vars(error).update(self.fields)
        return error


# --- to a worker ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The first message. `log_level` is the pool's own; the worker sends a Heartbeat every `heartbeat_interval_s`."""

    session_factory: SessionFactory
    threads: int
    log_level: int
    heartbeat_interval_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeWindow:
    """Decode a window, which has waited in the pool for `waited_s`."""

    id: int
    window: WindowRequest
    waited_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelWindow:
    """Its result is not needed any more."""

    id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """End after the current step. A closed socket ends the worker too, at once."""


WorkerCommand = Start | DecodeWindow | CancelWindow | Stop

# --- from a worker --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The session is loaded, which took `load_s`."""

    load_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StartFailed:
    """The session could not be loaded; the worker ends."""

    error: SerializedError


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowResult:
    """What a window was decoded to."""

    id: int
    result: DecodingResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """This window cannot be decoded; the worker goes on."""

    id: int
    error: SerializedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """The status of the worker's engine, sent from time to time."""

    status: EngineStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFailed:
    """The device failed; the worker ends with this message."""

    reason: str


WorkerEvent = Ready | StartFailed | WindowResult | Rejected | Heartbeat | DeviceFailed


class Channel:
    """One end of the socket between a pool and a worker. Any thread may send, one receives.

    Messages are pickles, which can run code on arrival: both ends are this package, started by this package, on a
    socket pair that has no name to which another process could connect. Arrays are sent behind their message, out of
    band: they are not copied on either side.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._send_lock = threading.Lock()

    @property
    def connection(self) -> Connection:
        """For multiprocessing.connection.wait; it must not be read."""
        return self._connection

    def send(self, message: WorkerCommand | WorkerEvent) -> None:
        """Blocks while the other end does not read. Raises OSError when it is closed."""
        arrays: list[pickle.PickleBuffer] = []
        head = pickle.dumps(message, protocol=5, buffer_callback=arrays.append)
        views = [array.raw() for array in arrays]
        with self._send_lock:
            self._connection.send_bytes(pickle.dumps((head, [view.nbytes for view in views])))
            for view in views:
                self._connection.send_bytes(view)

    def receive(self) -> Any:
        """The next message, a WorkerCommand or a WorkerEvent. Raises EOFError when the other end is closed."""
        try:
            head, sizes = pickle.loads(self._connection.recv_bytes())  # noqa: S301 - see the class
            arrays = [bytearray(size) for size in sizes]
            for array in arrays:
                self._connection.recv_bytes_into(array)
        except OSError as error:  # a killed process resets a connection that it had not read to the end
            raise EOFError from error
        return pickle.loads(head, buffers=arrays)  # noqa: S301 - see the class

    def close(self) -> None:
        self._connection.close()
