"""create_app: the HTTP face of a transcriber, in OpenAI's shapes.

Routes: /v1/audio/transcriptions, /v1/audio/translations, /v1/models, /health/live, /health/ready, a page to
try it at /, and the OpenAPI document at /schema/openapi.json. The page at /schema that draws the document
loads its script from a public network; the document itself and everything else need none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar import Litestar
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, ScalarRenderPlugin

from neuron_whisper import __version__
from neuron_whisper.server.access import RecordedApp
from neuron_whisper.server.faults import answer_fault
from neuron_whisper.server.forms import FORM_BYTES
from neuron_whisper.server.health import live, ready
from neuron_whisper.server.page import page_route
from neuron_whisper.server.routes_audio import create_transcription, create_translation
from neuron_whisper.server.routes_models import list_models, retrieve_model
from neuron_whisper.server.service import Service
from neuron_whisper.server.settings import ServerSettings
from neuron_whisper.transcriber import Transcriber


def create_app(transcriber: Transcriber, settings: ServerSettings) -> Litestar:
    """An ASGI application on a transcriber, which stays its opener's to close."""
    return app_of(Service(transcriber, settings))


def app_of(service: Service) -> Litestar:
    """The application of a service that its caller wants to watch and to drain."""

    def provide_service() -> Service:
        return service

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        yield
        service.close()

    return RecordedApp(
        route_handlers=[
            create_transcription, create_translation, list_models, retrieve_model, live, ready,
            page_route(service.model_id, service.transcriber.languages),
        ],
        dependencies={"service": Provide(provide_service, sync_to_thread=False)},
        exception_handlers={Exception: answer_fault},
        lifespan=[lifespan],
        # for bodies that Litestar reads; the audio routes read theirs themselves, with limits for each part
        request_max_body_size=service.settings.max_upload_bytes + FORM_BYTES,
        logging_config=None,  # the process that embeds us decides where its logs go
        openapi_config=OpenAPIConfig(
            title="neuron-whisper",
            version=__version__,
            description="Speech to text with OpenAI's audio API. Fields that are not supported are refused by name.",
            path="/schema",
            render_plugins=[ScalarRenderPlugin(path="/"), JsonRenderPlugin()],
        ),
    )  # fmt: skip
