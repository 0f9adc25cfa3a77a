"""GET /v1/models and /v1/models/{id}."""

from __future__ import annotations

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath

from neuron_whisper.server.service import Service


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model, as OpenAI's API lists it. `created` is when this server loaded it, in Unix seconds."""

    id: str
    created: int
    object: str = "model"
    owned_by: str = "neuron-whisper"


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    data: list[Model]
    object: str = "list"


@get("/v1/models", operation_id="listModels", summary="The loaded model", tags=["models"])
async def list_models(service: NamedDependency[Service]) -> ModelList:
    return ModelList(data=[_loaded(service)])


@get(
    "/v1/models/{model:path}", operation_id="retrieveModel", tags=["models"],
    summary="The loaded model, by any of its names",
)  # fmt: skip
async def retrieve_model(service: NamedDependency[Service], model: FromPath[str]) -> Model:
    # a path, since a Hugging Face id has a slash; Litestar hands it over with one in front
    service.check_model(model.removeprefix("/"))
    return _loaded(service)


def _loaded(service: Service) -> Model:
    return Model(id=service.model_id, created=service.started_at)
