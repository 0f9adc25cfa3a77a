"""The realtime sessions in /metrics: those that are open now, and how many may be."""

from __future__ import annotations

import pytest

from neuron_whisper.server.realtime.limiter import SessionLimiter, TooManySessions
from neuron_whisper.server.realtime.metrics import SessionsCollector


def read(limiter: SessionLimiter) -> tuple[float, float]:
    found = {metric.name: metric.samples[0].value for metric in SessionsCollector(limiter).collect()}
    return found["neuron_whisper_realtime_sessions"], found["neuron_whisper_realtime_sessions_limit"]


def test_sessions_are_counted_while_they_are_open() -> None:
    limiter = SessionLimiter(3)
    assert read(limiter) == (0, 3)
    with limiter.acquire("anna"), limiter.acquire("ben"):
        assert read(limiter) == (2, 3)
    assert read(limiter) == (0, 3)


def test_a_session_that_was_refused_is_not_counted() -> None:
    limiter = SessionLimiter(1)
    with limiter.acquire():
        with pytest.raises(TooManySessions), limiter.acquire():
            pass
        assert read(limiter) == (1, 1)


def test_a_server_without_sessions_has_a_limit_of_none() -> None:
    assert read(SessionLimiter(0)) == (0, 0)
