"""Futures that were cancelled take no result and no error."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from neuron_whisper.engine.futures import set_exception, set_result


def test_a_result_and_an_error_reach_their_future() -> None:
    done: Future[int] = Future()
    failed: Future[int] = Future()
    set_result(done, 3)
    set_exception(failed, ValueError("no"))
    assert done.result(0) == 3
    with pytest.raises(ValueError, match="no"):
        failed.result(0)


def test_a_cancelled_future_stays_cancelled() -> None:
    future: Future[int] = Future()
    future.cancel()
    set_result(future, 3)
    set_exception(future, ValueError("no"))
    assert future.cancelled()
