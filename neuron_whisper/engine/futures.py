"""Results and errors for futures that their callers may have cancelled meanwhile."""

from __future__ import annotations

import logging
from concurrent.futures import Future, InvalidStateError
from typing import TypeVar

T = TypeVar("T")

log = logging.getLogger(__name__)


def set_result(future: Future[T], result: T) -> None:
    try:
        future.set_result(result)
    except InvalidStateError:
        log.debug("a window was cancelled before its result was delivered")


def set_exception(future: Future[T], error: Exception) -> None:
    try:
        future.set_exception(error)
    except InvalidStateError:
        log.debug("a window was cancelled before it failed")
