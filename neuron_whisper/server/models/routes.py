"""GET /v1/models and /v1/models/{id}; POST /v1/models/load and /v1/models/unload for operators."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from neuron_whisper.server.http.errors import make_error_response
from neuron_whisper.server.http.middleware import require_admin, require_json
from neuron_whisper.server.http.openapi import GuardedJsonOperation, GuardedOperation
from neuron_whisper.server.models.registry import ModelState, ServedModel
from neuron_whisper.server.state import ServerState

MAX_BODY_BYTES = 64 * 1024  # of JSON, which is parsed on the event loop
UNLOAD_WAIT_S = 10.0  # for the requests that use the model; after it the response says "unloading"


def refuse_nested_json(request: Request[Any, Any, Any], error: RecursionError) -> Response[dict[str, Any]]:
    """The response for JSON that is nested deeper than the decoder goes."""
    return make_error_response(400, "the JSON is nested too deeply", code="invalid_value")


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model, as OpenAI's API lists it, and what this server adds.

    `created` is when this server started, in Unix seconds. `state`: loaded, loading, unloaded (the next request loads
    it, unless `available` is false: an operator unloaded it), unloading, failed (the next request tries again).
    `default`: used where a request names no model. `aliases`: its other names. `in_flight`: requests that use it now.
    """

    id: str
    created: int
    state: ModelState
    available: bool
    default: bool
    aliases: tuple[str, ...]
    in_flight: int
    object: str = "model"
    owned_by: str = "neuron-whisper"


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    data: list[Model]
    object: str = "list"


class ModelRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model by any of its names."""

    model: str


@get(
    "/v1/models",
    operation_id="listModels",
    tags=["models"],
    operation_class=GuardedOperation,
    summary="The models, loaded or not",
)
async def list_models(server_state: NamedDependency[ServerState]) -> ModelList:
    return ModelList(data=[_to_model(server_state, model) for model in server_state.models])


@get(
    "/v1/models/{model:path}",
    operation_id="retrieveModel",
    tags=["models"],
    operation_class=GuardedOperation,
    summary="A model, by any of its names",
)
async def retrieve_model(server_state: NamedDependency[ServerState], model: FromPath[str]) -> Model:
    # a path, as a Hugging Face id has a slash; Litestar passes it with a leading slash
    return _to_model(server_state, server_state.models.find(model.removeprefix("/")))


@post(
    "/v1/models/load",
    status_code=200,
    guards=[require_admin, require_json],
    request_max_body_size=MAX_BODY_BYTES,
    exception_handlers={RecursionError: refuse_nested_json},
    operation_id="loadModel",
    tags=["models"],
    operation_class=GuardedJsonOperation,
    summary="Load a model, and serve it again after an operator unloaded it",
)
async def load_model(server_state: NamedDependency[ServerState], data: JSONBody[ModelRequest]) -> Model:
    # the name is in the body: a path would be ambiguous, as names have slashes
    return _to_model(server_state, await server_state.models.load(data.model))


@post(
    "/v1/models/unload",
    status_code=200,
    guards=[require_admin, require_json],
    request_max_body_size=MAX_BODY_BYTES,
    exception_handlers={RecursionError: refuse_nested_json},
    operation_id="unloadModel",
    tags=["models"],
    operation_class=GuardedJsonOperation,
    summary="Reject requests for a model, and free its memory when those in flight are done",
)
async def unload_model(server_state: NamedDependency[ServerState], data: JSONBody[ModelRequest]) -> Model:
    return _to_model(server_state, await server_state.models.unload(data.model, timeout_s=UNLOAD_WAIT_S))


def _to_model(server_state: ServerState, model: ServedModel) -> Model:
    return Model(
        id=model.id,
        created=server_state.started_at,
        state=model.state,
        available=not model.is_disabled,
        default=model is server_state.models.default,
        aliases=server_state.models.names.list_aliases(model.id),
        in_flight=model.in_flight,
    )
