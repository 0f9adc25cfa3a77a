"""GET /health/live and /health/ready: whether to restart this process, and whether to send it requests."""

from __future__ import annotations

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency

from neuron_whisper.server.service import Service


class Health(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`status` is ready or alive, or why not: draining, device_fault. The counts are windows of 30 s."""

    status: str
    model: str | None = None
    waiting: int | None = None
    decoding: int | None = None
    requests: int | None = None


@get("/health/live", operation_id="live", summary="Whether the engine can still work", tags=["health"])
async def live(service: NamedDependency[Service]) -> Response[Health]:
    """503 once the device failed: nothing but a restart helps."""
    if service.transcriber.fault is not None:
        return Response(Health(status="device_fault"), status_code=503)
    return Response(Health(status="alive"))


@get("/health/ready", operation_id="ready", summary="Whether to send requests here", tags=["health"])
async def ready(service: NamedDependency[Service]) -> Response[Health]:
    """200 with what the engine does now, or 503 with the reason."""
    engine = service.transcriber.status
    reason = "ready"
    if service.transcriber.fault is not None:
        reason = "device_fault"
    elif service.is_draining:
        reason = "draining"
    health = Health(
        status=reason,
        model=service.model_id,
        waiting=engine.waiting,
        decoding=engine.decoding,
        requests=service.in_flight,
    )
    return Response(health, status_code=200 if reason == "ready" else 503)
