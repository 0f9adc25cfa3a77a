"""What a pool and its workers say to each other, and the socket between them."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from neuron_whisper.decode.window import Hypothesis, WindowAsk
from neuron_whisper.engine.engine import EngineStatus
from neuron_whisper.engine.session_factory import Opening
from neuron_whisper.errors import NeuronWhisperError


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedError:
    """An error of the tree in parts: its own pickle would call a class with the message in place of its fields."""

    kind: type[NeuronWhisperError]
    args: tuple[Any, ...]
    fields: Mapping[str, Any]

    @classmethod
    def of(cls, error: NeuronWhisperError) -> CarriedError:
        return cls(kind=type(error), args=error.args, fields=dict(vars(error)))

    def error(self) -> NeuronWhisperError:
        made = self.kind.__new__(self.kind, *self.args)
        vars(made).update(self.fields)
        return made


# --- to a worker ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The first message. `log_level` is the pool's own; a Beat comes every `beat_s`."""

    opening: Opening
    threads: int
    log_level: int
    beat_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """`waited_s`: so long it has waited in the pool."""

    id: int
    ask: WindowAsk
    waited_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """End after the current step; the socket's end says the same, and without the step."""


ToWorker = Start | Window | Cancel | Stop

# --- from a worker --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """Everything is loaded; this took `load_s`."""

    load_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NotStarted:
    error: CarriedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    id: int
    hypothesis: Hypothesis


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """This window cannot be decoded; the worker is well."""

    id: int
    error: CarriedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """The worker lives, and this is what its engine does."""

    status: EngineStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Faulted:
    """The device failed. The worker's last message."""

    reason: str


FromWorker = Ready | NotStarted | Answer | Refused | Beat | Faulted


class Channel:
    """One end of the socket. Any thread may send, one receives.

    Messages are pickles, which can run code on arrival: both ends are this package, started by this package, on a
    socket pair that has no name for anybody else to connect to. Arrays travel beside their message: they are not
    copied to be sent, and land where they stay.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()

    @property
    def connection(self) -> Connection:
        """To wait for; not to be read."""
        return self._connection

    def send(self, message: ToWorker | FromWorker) -> None:
        """Blocks while the other end does not read. Raises OSError when there is none any more."""
        arrays: list[pickle.PickleBuffer] = []
        head = pickle.dumps(message, protocol=5, buffer_callback=arrays.append)
        views = [array.raw() for array in arrays]
        with self._sending:
            self._connection.send_bytes(pickle.dumps((head, [view.nbytes for view in views])))
            for view in views:
                self._connection.send_bytes(view)

    def receive(self) -> Any:
        """The next message, a ToWorker or a FromWorker. Raises EOFError when the other end is gone."""
        try:
            head, sizes = pickle.loads(self._connection.recv_bytes())  # noqa: S301 - see the class
            arrays = [bytearray(size) for size in sizes]
            for array in arrays:
                self._connection.recv_bytes_into(array)
        except OSError as error:  # a process that was killed resets what it had not read
            raise EOFError from error
        return pickle.loads(head, buffers=arrays)  # noqa: S301 - see the class

    def close(self) -> None:
        self._connection.close()
