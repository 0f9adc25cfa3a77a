"""Limits how many realtime sessions are open at the same time."""

from __future__ import annotations

from neuron_whisper.errors import CapacityError


class TooManySessions(CapacityError):
    """The limit of open sessions is reached."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} realtime sessions are open, which is the limit", retry_after_s=5.0)


class SessionLimiter:
    """Counts open sessions. Used by one event loop."""

    def __init__(self, limit: int) -> None:
        self.limit, self.n_open = limit, 0

    def acquire(self) -> SessionLimiter:
        """A context that holds one session open. Raises TooManySessions."""
        if self.n_open >= self.limit:
            raise TooManySessions(self.limit)
        return self

    def __enter__(self) -> None:
        self.n_open += 1

    def __exit__(self, *error: object) -> None:
        self.n_open -= 1
