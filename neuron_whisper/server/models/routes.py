"""GET /v1/models and /v1/models/{id}; POST /v1/models/load and /v1/models/unload for whoever runs the server."""

from __future__ import annotations

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from neuron_whisper.server.audio.openapi import GuardedOperation
from neuron_whisper.server.http.middleware import require_admin
from neuron_whisper.server.models.registry import ModelState, ServedModel
from neuron_whisper.server.state import ServerState

UNLOAD_WAIT_S = 10.0  # for the requests that use the model; after it the answer says "unloading"


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model, as OpenAI's API lists it, and what this server adds.

    `created` is when this server started, in Unix seconds. `state`: loaded, loading, unloaded (the next request loads
    it, unless `available` is false: it was unloaded by hand), unloading, failed (loading it did; it is tried again).
    `default`: meant where no model is named. `aliases`: its other names. `in_flight`: requests that use it now.
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
async def list_models(service: NamedDependency[ServerState]) -> ModelList:
    return ModelList(data=[_to_model(service, model) for model in service.models])


@get(
    "/v1/models/{model:path}",
    operation_id="retrieveModel",
    tags=["models"],
    operation_class=GuardedOperation,
    summary="A model, by any of its names",
)
async def retrieve_model(service: NamedDependency[ServerState], model: FromPath[str]) -> Model:
    # a path, since a Hugging Face id has a slash; Litestar hands it over with one in front
    return _to_model(service, service.models.find(model.removeprefix("/")))


@post(
    "/v1/models/load",
    status_code=200,
    guards=[require_admin],
    operation_id="loadModel",
    tags=["models"],
    operation_class=GuardedOperation,
    summary="Load a model, and serve it again where it was unloaded by hand",
)
async def load_model(service: NamedDependency[ServerState], data: JSONBody[ModelRequest]) -> Model:
    # the name is in the body: in a path, its slash would be one of the path's
    return _to_model(service, await service.models.load(data.model))


@post(
    "/v1/models/unload",
    status_code=200,
    guards=[require_admin],
    operation_id="unloadModel",
    tags=["models"],
    operation_class=GuardedOperation,
    summary="Refuse requests for a model, and free its memory when those in flight are done",
)
async def unload_model(service: NamedDependency[ServerState], data: JSONBody[ModelRequest]) -> Model:
    return _to_model(service, await service.models.unload(data.model, timeout_s=UNLOAD_WAIT_S))


def _to_model(service: ServerState, model: ServedModel) -> Model:
    return Model(
        id=model.id,
        created=service.started_at,
        state=model.state,
        available=not model.is_disabled,
        default=model is service.models.default,
        aliases=service.models.names.list_aliases(model.id),
        in_flight=model.in_flight,
    )
