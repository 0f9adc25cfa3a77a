"""Limits how many realtime sessions are open at the same time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from neuron_whisper.errors import CapacityError, ClientBusy


class TooManySessions(CapacityError):
    """The limit of open sessions is reached."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} realtime sessions are open, which is the limit", retry_after_s=5.0)


class TooManySessionsOfKey(ClientBusy):
    """The limit of open sessions of one API key is reached."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        CapacityError.__init__(
            self, f"{limit} realtime sessions of your API key are open, which is the limit", retry_after_s=5.0
        )


class SessionLimiter:
    """Counts open sessions, in all and by client. Used by one event loop."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._n_open: Counter[str] = Counter()

    @property
    def n_open(self) -> int:
        return self._n_open.total()

    @contextmanager
    def acquire(self, client: str = "", client_limit: int | None = None) -> Iterator[None]:
        """Hold one session open while the block runs. Raises TooManySessions, TooManySessionsOfKey."""
        if self.n_open >= self.limit:
            raise TooManySessions(self.limit)
        if client_limit is not None and self._n_open[client] >= client_limit:
            raise TooManySessionsOfKey(client_limit)
        self._n_open[client] += 1
        try:
            yield
        finally:
            self._n_open[client] -= 1
            if not self._n_open[client]:
                del self._n_open[client]
