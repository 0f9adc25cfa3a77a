"""One id, and one log line of facts, for every request."""

from __future__ import annotations

import logging
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import quote

from litestar import Litestar
from litestar.enums import ScopeType
from litestar.types import HTTPScope, LifeSpanReceive, LifeSpanScope, LifeSpanSend, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

ID_HEADER = b"x-request-id"
SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
STATE_KEY = "request_record"


@dataclass(slots=True, kw_only=True)
class RequestRecord:
    """What the log says of a request. `facts` are numbers and names, never audio or text of anybody's."""

    id: str
    started: float
    status: int = 0
    facts: dict[str, object] = field(default_factory=dict)

    @staticmethod
    def of(scope: Scope) -> RequestRecord:
        """The record of the request that is being answered."""
        record = scope["state"][STATE_KEY]
        assert isinstance(record, RequestRecord)
        return record


class RecordedApp(Litestar):
    """Litestar, with an id on every response and a log line for every request, also where no route is."""

    async def __call__(
        self, scope: Scope | LifeSpanScope, receive: Receive | LifeSpanReceive, send: Send | LifeSpanSend
    ) -> None:
        if scope["type"] == ScopeType.HTTP:
            await self._recorded(cast("HTTPScope", scope), cast("Receive", receive), cast("Send", send))
        else:
            await super().__call__(scope, receive, send)

    async def _recorded(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        record = RequestRecord(id=_request_id(scope), started=time.perf_counter())
        scope.setdefault("state", {})[STATE_KEY] = record

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                message["headers"] = [*message["headers"], (ID_HEADER, record.id.encode())]
            await send(message)

        try:
            await super().__call__(scope, receive, send_with_id)
        finally:
            took_ms = 1e3 * (time.perf_counter() - record.started)
            path = quote(scope["path"][:200])
            facts = "".join(f" {name}={value}" for name, value in record.facts.items())
            log.info(
                "request id=%s method=%s path=%s status=%d took_ms=%.1f%s",
                record.id, scope["method"], path, record.status, took_ms, facts,
            )  # fmt: skip


def _request_id(scope: HTTPScope) -> str:
    """The caller's own x-request-id where it is a sane one, so that it finds its request in two logs."""
    given = next((value for name, value in scope["headers"] if name == ID_HEADER), b"")
    return given.decode() if SANE_ID.fullmatch(given) else f"req_{secrets.token_hex(12)}"
