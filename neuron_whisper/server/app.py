"""create_app: the HTTP face of a transcriber, in OpenAI's shapes.

Routes: /v1/audio/transcriptions, /v1/audio/translations, the sockets /v1/realtime and /v1/audio/stream, /v1/models,
with settings.model_admin /v1/models/load and /unload, with settings.jobs_dir /v1/jobs, /health/startup, /health/live,
/health/ready, /metrics, a page to try it at /, and the OpenAPI document at /schema/openapi.json. The page at /schema
that draws the document loads its script from a public network; the document itself and everything else need none.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from litestar import Litestar, Router
from litestar.config.cors import CORSConfig
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, ScalarRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from neuron_whisper import __version__
from neuron_whisper.server.audio.routes import create_transcription, create_translation
from neuron_whisper.server.config.settings import ServerSettings
from neuron_whisper.server.http.errors import answer_fault
from neuron_whisper.server.http.middleware import RecordedApp, require_key
from neuron_whisper.server.http.multipart import FORM_BYTES
from neuron_whisper.server.jobs.routes import JOB_ROUTES
from neuron_whisper.server.models.registry import Models
from neuron_whisper.server.models.routes import list_models, load_model, retrieve_model, unload_model
from neuron_whisper.server.observability.health import live, metrics, ready, startup
from neuron_whisper.server.realtime.connection import warm_up
from neuron_whisper.server.realtime.openai import realtime
from neuron_whisper.server.realtime.raw_stream import audio_stream
from neuron_whisper.server.state import Service
from neuron_whisper.server.web.page import page_route
from neuron_whisper.text.languages import LANGUAGES
from neuron_whisper.transcriber import Transcriber

KEY_SCHEME = "key"
KEY_SECURITY = SecurityScheme(type="http", scheme="bearer", description="A key made with `neuron-whisper keys create`.")


def create_app(served: Transcriber | Models, settings: ServerSettings) -> Litestar:
    """An ASGI application on a transcriber or on several models, which stay their opener's to close."""
    return app_of(Service(served, settings))


def _hears_speech(settings: ServerSettings) -> bool:
    return settings.vad_filter and settings.realtime_sessions > 0


def app_of(service: Service) -> Litestar:
    """The application of a service that its caller wants to watch and to drain."""

    def provide_service() -> Service:
        return service

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        if service.jobs is not None:
            await service.jobs.start()
        watching = asyncio.ensure_future(service.models.watch_idle())
        warming = asyncio.ensure_future(asyncio.to_thread(warm_up)) if _hears_speech(service.settings) else None
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, *([warming] if warming else []), return_exceptions=True)
            if service.jobs is not None:
                await service.jobs.stop()
            service.close()

    has_keys = service.front.keys is not None
    behind_keys = Router(
        "/",
        route_handlers=[
            create_transcription,
            create_translation,
            realtime,
            audio_stream,
            list_models,
            retrieve_model,
            *((load_model, unload_model) if service.settings.model_admin else ()),
            *(JOB_ROUTES if service.jobs is not None else ()),
        ],
        security=[{KEY_SCHEME: []}] if has_keys else None,  # what the document says; the guard is require_key
    )
    app = RecordedApp(
        route_handlers=[
            behind_keys,
            live,
            ready,
            startup,
            metrics,
            page_route(service.models.default.id, _languages(service.models)),
        ],
        dependencies={"service": Provide(provide_service, sync_to_thread=False)},
        exception_handlers={Exception: answer_fault},
        guards=[require_key],
        cors_config=_cors(service.settings),
        lifespan=[lifespan],
        # for bodies that Litestar reads; the audio routes read theirs themselves, with limits for each part
        request_max_body_size=service.settings.max_upload_bytes + FORM_BYTES,
        logging_config=None,  # the process that embeds us decides where its logs go
        openapi_config=OpenAPIConfig(
            title="neuron-whisper",
            version=__version__,
            description="Speech to text with OpenAI's audio API. Fields that are not supported are refused by name.",
            path="/schema",
            components=Components(security_schemes={KEY_SCHEME: KEY_SECURITY} if has_keys else None),
            render_plugins=[ScalarRenderPlugin(path="/"), JsonRenderPlugin()],
        ),
    )
    app.front = service.front
    return app


def _cors(settings: ServerSettings) -> CORSConfig | None:
    """Off unless origins are named: then these pages may ask, with a key, and read what limits tell them."""
    if not settings.cors_origins:
        return None
    return CORSConfig(
        allow_origins=list(settings.cors_origins),
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "X-Request-Id"],
        expose_headers=["X-Request-Id", "Retry-After"],
    )


def _languages(models: Models) -> Sequence[str]:
    """Codes that the page offers: the default model's, or all while it is not loaded."""
    transcriber = models.default.transcriber
    return tuple(LANGUAGES) if transcriber is None else transcriber.languages
