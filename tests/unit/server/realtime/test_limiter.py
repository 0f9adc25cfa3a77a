"""The limit of sessions that are open at the same time."""

from __future__ import annotations

import pytest

from neuron_whisper.server.realtime.limiter import SessionLimiter, TooManySessions, TooManySessionsOfKey


def test_a_session_over_the_limit_is_refused_until_another_ends() -> None:
    limiter = SessionLimiter(1)
    with limiter.acquire(), pytest.raises(TooManySessions), limiter.acquire():
        pass
    with limiter.acquire():
        assert limiter.n_open == 1


def test_a_session_that_fails_is_no_longer_counted() -> None:
    limiter = SessionLimiter(1)
    with pytest.raises(ValueError, match="fails"), limiter.acquire():
        raise ValueError("fails")
    assert limiter.n_open == 0


def test_a_client_has_its_own_limit() -> None:
    limiter = SessionLimiter(3)
    with limiter.acquire("ann", 1):
        with pytest.raises(TooManySessionsOfKey), limiter.acquire("ann", 1):
            pass
        with limiter.acquire("bob", 2), limiter.acquire("bob", 2):
            with pytest.raises(TooManySessions), limiter.acquire("carl", 2):
                pass
            assert limiter.n_open == 3
    with limiter.acquire("ann", 1):
        assert limiter.n_open == 1
