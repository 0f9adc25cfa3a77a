"""GET /health/live, /health/startup and /health/ready for probes, and GET /metrics."""

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
    """One worker process. `state`: starting, ready, restarting, failed; `restarts`: how often it was replaced."""

    index: int
    state: str
    restarts: int
    waiting: int
    decoding: int


class Health(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`status`: ready or alive, or the reason why not: draining, device_fault, device_hung, no_worker.

    `model` is the default model's name, `models` the state of each; a model that is not loaded does not make the
    server unready. `waiting` and `decoding` count windows.

    Worker fields are present where there are worker processes: `degraded` when fewer are up than configured.
    Requests that arrive while none is up wait in the queue.
    """

    status: str
    degraded: bool | None = None
    workers_up: int | None = None
    workers_configured: int | None = None
    model: str | None = None
    models: dict[str, str] | None = None
    waiting: int | None = None
    decoding: int | None = None
    requests: int | None = None
    workers: tuple[WorkerHealth, ...] | None = None


UNAVAILABLE_RESPONSE = {503: ResponseSpec(Health, description="No; `status` is the reason", generate_examples=False)}


@get(
    "/health/live",
    operation_id="live",
    summary="Whether the engine can still work",
    tags=["health"],
    responses=UNAVAILABLE_RESPONSE,
)
async def get_liveness(server_state: NamedDependency[ServerState]) -> Response[Health]:
    """503 after the device failed or while a device call hangs: only a restart helps."""
    if server_state.models.device_error is not None:
        return Response(Health(status="device_fault"), status_code=503)
    if is_hung(server_state):
        return Response(Health(status="device_hung"), status_code=503)
    return Response(Health(status="alive"))


@get(
    "/health/startup",
    operation_id="startup",
    summary="Whether the first model is loaded",
    tags=["health"],
    responses=UNAVAILABLE_RESPONSE,
)
async def get_startup(server_state: NamedDependency[ServerState]) -> Response[Health]:
    """503 while the first model is loading, which happens while serving only where none is preloaded."""
    loading = is_loading(server_state)
    return Response(Health(status="loading" if loading else "started"), status_code=503 if loading else 200)


def is_loading(server_state: ServerState) -> bool:
    """Whether the first model is being loaded."""
    models = server_state.models
    return not models.loaded_transcribers and any(model.state == "loading" for model in models)


@get(
    "/health/ready",
    operation_id="ready",
    summary="Whether to send requests here",
    tags=["health"],
    responses=UNAVAILABLE_RESPONSE,
)
async def get_readiness(server_state: NamedDependency[ServerState]) -> Response[Health]:
    """200 with the engine's counts, or 503 with the reason."""
    health = describe_readiness(server_state)
    return Response(health, status_code=200 if health.status == "ready" else 503)


def describe_readiness(server_state: ServerState) -> Health:
    """`status` is "ready", or the reason why no requests should come; with the engines' counts."""
    models = server_state.models
    engines = [transcriber.status for transcriber in models.loaded_transcribers]
    pools = [engine for engine in engines if isinstance(engine, PoolStatus)]
    reason = "ready"
    if models.device_error is not None:
        reason = "device_fault"
    elif is_hung(server_state):
        reason = "device_hung"
    elif server_state.is_draining:
        reason = "draining"
    elif any(not pool.n_ready for pool in pools):
        reason = "no_worker"
    health = Health(
        status=reason,
        model=models.default.id,
        models={model.id: model.state for model in models},
        waiting=sum(engine.waiting for engine in engines),
        decoding=sum(engine.decoding for engine in engines),
        requests=server_state.in_flight,
    )
    if pools:
        workers = [worker for pool in pools for worker in pool.workers]
        workers_up = sum(pool.n_ready for pool in pools)
        health = msgspec.structs.replace(
            health,
            degraded=workers_up < len(workers),
            workers_up=workers_up,
            workers_configured=len(workers),
            workers=tuple(_to_worker_health(worker) for worker in workers),
        )
    return health


def is_hung(server_state: ServerState) -> bool:
    """Whether a device call of an engine in this process exceeds hang_s. A pool restarts its workers itself."""
    engines = (transcriber.status for transcriber in server_state.models.loaded_transcribers)
    return any(
        engine.device_call_s > server_state.settings.hang_s for engine in engines if not isinstance(engine, PoolStatus)
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
async def get_metrics(server_state: NamedDependency[ServerState]) -> Response[bytes]:
    """Requests, limits, engines, this process."""
    return Response(server_state.gateway.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _to_worker_health(worker: WorkerStatus) -> WorkerHealth:
    return WorkerHealth(
        index=worker.index,
        state=worker.state,
        restarts=worker.restarts,
        waiting=worker.waiting,
        decoding=worker.decoding,
    )
