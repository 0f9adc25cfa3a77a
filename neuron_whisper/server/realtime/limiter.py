"""How many sockets may be open at once."""

from __future__ import annotations

from neuron_whisper.errors import CapacityError


class TooManySessions(CapacityError):
    """As many sockets are open as may be."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} realtime sessions are open, and no more are allowed at once", retry_after_s=5.0)


class SessionLimiter:
    """How many sockets are open. For one event loop."""

    def __init__(self, limit: int) -> None:
        self.limit, self.n_open = limit, 0

    def acquire(self) -> SessionLimiter:
        """A context in which one more is. Raises TooManySessions."""
        if self.n_open >= self.limit:
            raise TooManySessions(self.limit)
        return self

    def __enter__(self) -> None:
        self.n_open += 1

    def __exit__(self, *error: object) -> None:
        self.n_open -= 1
