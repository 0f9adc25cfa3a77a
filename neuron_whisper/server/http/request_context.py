"""The context of the current request: what the log line, metrics, traces and limits need of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from litestar.types import Scope

from neuron_whisper.server.http.admission import AdmissionTicket
from neuron_whisper.server.http.api_keys import Client

STATE_KEY = "request_context"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTiming:
    """One stage of a request, in seconds of time.perf_counter()."""

    name: str
    started: float
    ended: float


@dataclass(slots=True, kw_only=True)
class RequestContext:
    """One request. `log_fields` are numbers and names, never audio or text.

    `error_code` and `error_field` are those of the error response, `client` is set after authentication, `audio_s` is
    the length of the decoded audio, `ticket` its admission.
    """

    id: str
    started: float
    status: int = 0
    error_code: str = ""
    error_field: str = ""
    client: Client | None = None
    audio_s: float = 0.0
    ticket: AdmissionTicket | None = None
    log_fields: dict[str, object] = field(default_factory=dict)
    stages: list[StageTiming] = field(default_factory=list)

    @staticmethod
    def from_scope(scope: Scope) -> RequestContext:
        """The context of the request with this ASGI scope."""
        context = scope["state"][STATE_KEY]
        assert isinstance(context, RequestContext)
        return context


current_request: ContextVar[RequestContext | None] = ContextVar("request_context", default=None)
"""The context of the request or WebSocket that the current task serves."""


@contextmanager
def measure_stage(name: str) -> Iterator[None]:
    """Record the block as a stage of the current request, also where it raises."""
    context, started = current_request.get(), time.perf_counter()
    try:
        yield
    finally:
        if context is not None:
            context.stages.append(StageTiming(name=name, started=started, ended=time.perf_counter()))
