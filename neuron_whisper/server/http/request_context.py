"""What is known of a request while it is answered, for the log, the metrics and the limits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from litestar.types import Scope

from neuron_whisper.server.http.admission import AdmissionTicket
from neuron_whisper.server.http.api_keys import Client

STATE_KEY = "request_record"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTiming:
    """A part of a request's way, in seconds of time.perf_counter()."""

    name: str
    started: float
    ended: float


@dataclass(slots=True, kw_only=True)
class RequestContext:
    """What the log says of a request. `log_fields` are numbers and names, never audio or text of anybody's.

    `error_code` is the error's it was answered with, `client` whoever asks, once that is known, `audio_s` what was
    decoded, `body_s` when its body was here, `ticket` its place among the requests in flight.
    """

    id: str
    started: float
    status: int = 0
    error_code: str = ""
    client: Client | None = None
    audio_s: float = 0.0
    ticket: AdmissionTicket | None = None
    log_fields: dict[str, object] = field(default_factory=dict)
    stages: list[StageTiming] = field(default_factory=list)

    @staticmethod
    def from_scope(scope: Scope) -> RequestContext:
        """The record of the request that is being answered."""
        record = scope["state"][STATE_KEY]
        assert isinstance(record, RequestContext)
        return record


current_request: ContextVar[RequestContext | None] = ContextVar("request_record", default=None)
"""The record of the request or the socket that the current task works for."""


@contextmanager
def measure_stage(name: str) -> Iterator[None]:
    """What is done here is a stage of the current task's request, also where it fails."""
    record, started = current_request.get(), time.perf_counter()
    try:
        yield
    finally:
        if record is not None:
            record.stages.append(StageTiming(name=name, started=started, ended=time.perf_counter()))
