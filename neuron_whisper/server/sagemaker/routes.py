"""GET /ping and POST /invocations."""

from __future__ import annotations

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.types import ASGIApp

from neuron_whisper.server.audio.routes import AudioResponse
from neuron_whisper.server.observability.health import (
    UNAVAILABLE_RESPONSE,
    Health,
    describe_readiness,
    is_loading,
)
from neuron_whisper.server.sagemaker.invocation import read_invocation
from neuron_whisper.server.sagemaker.openapi import InvocationOperation
from neuron_whisper.server.state import ServerState


@get(
    "/ping",
    operation_id="ping",
    summary="Whether SageMaker may send requests here",
    tags=["sagemaker"],
    responses=UNAVAILABLE_RESPONSE,
)
async def ping(server_state: NamedDependency[ServerState]) -> Response[Health]:
    """200, or 503 with the reason: also while the first model is loading."""
    if is_loading(server_state):
        return Response(Health(status="loading"), status_code=503)
    status = describe_readiness(server_state).status
    return Response(Health(status=status), status_code=200 if status == "ready" else 503)


@post(
    "/invocations",
    status_code=200,
    operation_class=InvocationOperation,
    tags=["sagemaker"],
    operation_id="invokeEndpoint",
    summary="Audio to text, by SageMaker's InvokeEndpoint",
)
async def invoke_endpoint(server_state: NamedDependency[ServerState]) -> ASGIApp:
    return AudioResponse(server_state, read_invocation)
