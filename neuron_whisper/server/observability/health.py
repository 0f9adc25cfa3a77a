"""GET /health/live and /health/ready, whether to restart this process and to send it requests, and GET /metrics."""

from __future__ import annotations

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from litestar.openapi.datastructures import ResponseSpec

from neuron_whisper.engine.interface import PoolStatus, WorkerStatus
from neuron_whisper.server.http.middleware import AnyConnection, get_gateway, require_admin
from neuron_whisper.server.state import ServerState


class WorkerHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One worker process; `state` is starting, ready, restarting or failed, `restarts` how often it was replaced."""

    index: int
    state: str
    restarts: int
    waiting: int
    decoding: int


class Health(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`status` is ready or alive, or why not: draining, device_fault, device_hung, no_worker. The counts are windows.

    `model` is the default's name, `models` the state of each. A model that is not loaded is no reason not to be ready.

    The workers are told where there are several: `degraded` when fewer are up than wanted. Requests that come while
    none is up wait in the queue.
    """

    status: str
    degraded: bool | None = None
    workers_up: int | None = None
    workers_wanted: int | None = None
    model: str | None = None
    models: dict[str, str] | None = None
    waiting: int | None = None
    decoding: int | None = None
    requests: int | None = None
    workers: tuple[WorkerHealth, ...] | None = None


UNAVAILABLE_RESPONSE = {503: ResponseSpec(Health, description="No; `status` says why", generate_examples=False)}


@get(
    "/health/live",
    operation_id="live",
    summary="Whether the engine can still work",
    tags=["health"],
    responses=UNAVAILABLE_RESPONSE,
)
async def get_liveness(service: NamedDependency[ServerState]) -> Response[Health]:
    """503 once the device failed, or a call of it does not end: nothing but a restart helps."""
    if service.models.device_error is not None:
        return Response(Health(status="device_fault"), status_code=503)
    if is_hung(service):
        return Response(Health(status="device_hung"), status_code=503)
    return Response(Health(status="alive"))


@get(
    "/health/startup",
    operation_id="startup",
    summary="Whether the first model is loaded",
    tags=["health"],
    responses=UNAVAILABLE_RESPONSE,
)
async def get_startup(service: NamedDependency[ServerState]) -> Response[Health]:
    """503 while the first model is still loading, which happens behind this port only where none is preloaded."""
    is_loading = not service.models.loaded_transcribers and any(model.state == "loading" for model in service.models)
    return Response(Health(status="loading" if is_loading else "started"), status_code=503 if is_loading else 200)


@get(
    "/health/ready",
    operation_id="ready",
    summary="Whether to send requests here",
    tags=["health"],
    responses=UNAVAILABLE_RESPONSE,
)
async def get_readiness(service: NamedDependency[ServerState]) -> Response[Health]:
    """200 with what the engine does now, or 503 with the reason."""
    models = service.models
    engines = [transcriber.status for transcriber in models.loaded_transcribers]
    pools = [engine for engine in engines if isinstance(engine, PoolStatus)]
    reason = "ready"
    if models.device_error is not None:
        reason = "device_fault"
    elif is_hung(service):
        reason = "device_hung"
    elif service.is_draining:
        reason = "draining"
    elif any(not pool.n_ready for pool in pools):
        reason = "no_worker"
    health = Health(
        status=reason,
        model=models.default.id,
        models={model.id: model.state for model in models},
        waiting=sum(engine.waiting for engine in engines),
        decoding=sum(engine.decoding for engine in engines),
        requests=service.in_flight,
    )
    if pools:
        workers = [worker for pool in pools for worker in pool.workers]
        workers_up = sum(pool.n_ready for pool in pools)
        health = msgspec.structs.replace(
            health,
            degraded=workers_up < len(workers),
            workers_up=workers_up,
            workers_wanted=len(workers),
            workers=tuple(_to_worker_health(worker) for worker in workers),
        )
    return Response(health, status_code=200 if reason == "ready" else 503)


def is_hung(service: ServerState) -> bool:
    """Whether a device call of an engine in this process takes too long. A pool replaces its workers itself."""
    engines = (transcriber.status for transcriber in service.models.loaded_transcribers)
    return any(
        engine.device_call_s > service.settings.hang_s for engine in engines if not isinstance(engine, PoolStatus)
    )


def _require_metrics_access(connection: AnyConnection, handler: BaseRouteHandler) -> None:
    if get_gateway(connection).settings.metrics_need_key:
        require_admin(connection, handler)


@get(
    "/metrics",
    operation_id="metrics",
    summary="Prometheus' text format",
    tags=["health"],
    guards=[_require_metrics_access],
    media_type="text/plain",
)
async def get_metrics(service: NamedDependency[ServerState]) -> Response[bytes]:
    """Requests, limits, engines, this process."""
    return Response(service.gateway.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _to_worker_health(worker: WorkerStatus) -> WorkerHealth:
    return WorkerHealth(
        index=worker.index,
        state=worker.state,
        restarts=worker.restarts,
        waiting=worker.waiting,
        decoding=worker.decoding,
    )
