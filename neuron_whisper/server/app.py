"""create_app: the ASGI application of a transcriber, with OpenAI's audio API.

Routes: /v1/audio/transcriptions, /v1/audio/translations, the sockets /v1/realtime and /v1/audio/stream, /v1/models,
with settings.model_admin /v1/models/load and /unload, with settings.jobs_dir /v1/jobs, with settings.compat /ping and
/invocations, /health/startup, /health/live, /health/ready, /metrics, a page to try it at /, the OpenAPI document at
/schema/openapi.json and as a page at /schema. Nothing of it needs a network.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from litestar import Litestar, Router
from litestar.config.cors import CORSConfig
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme, Server

from neuron_whisper import __version__
from neuron_whisper.server.audio.routes import create_transcription, create_translation
from neuron_whisper.server.config.settings import ServerSettings
from neuron_whisper.server.http.body_headers import check_body_headers
from neuron_whisper.server.http.errors import handle_exception
from neuron_whisper.server.http.middleware import InstrumentedApp, require_api_key
from neuron_whisper.server.http.multipart import MAX_FORM_OVERHEAD_BYTES
from neuron_whisper.server.http.origins import ANY_ORIGIN, PageOrigins
from neuron_whisper.server.jobs.routes import JOB_ROUTES
from neuron_whisper.server.models.registry import ModelRegistry
from neuron_whisper.server.models.routes import list_models, load_model, retrieve_model, unload_model
from neuron_whisper.server.observability.health import get_liveness, get_metrics, get_readiness, get_startup
from neuron_whisper.server.realtime.connection import warm_up
from neuron_whisper.server.realtime.openai import serve_realtime
from neuron_whisper.server.realtime.raw_stream import serve_audio_stream
from neuron_whisper.server.sagemaker.routes import invoke_endpoint, ping
from neuron_whisper.server.state import ServerState
from neuron_whisper.server.web.api_docs import SCHEMA_URL, SwaggerUi, create_assets_router, create_schema_router
from neuron_whisper.server.web.config import create_page_config
from neuron_whisper.server.web.page import create_page_route
from neuron_whisper.server.web.samples import create_samples_route
from neuron_whisper.server.web.static_files import StaticFiles, create_static_route
from neuron_whisper.text.languages import LANGUAGES
from neuron_whisper.transcriber import Transcriber

SECURITY_SCHEME_NAME = "key"
SECURITY_SCHEME = SecurityScheme(
    type="http", scheme="bearer", description="A key made with `neuron-whisper keys create`."
)


def create_app(models: Transcriber | ModelRegistry, settings: ServerSettings) -> Litestar:
    """The ASGI application of one transcriber or of several models; the caller closes these."""
    return build_app(ServerState(models, settings))


def _needs_vad_warm_up(settings: ServerSettings) -> bool:
    return settings.vad_filter and settings.realtime_sessions > 0


def build_app(server_state: ServerState) -> Litestar:
    """The application of a state that the caller keeps, to watch and to drain it."""

    def provide_server_state() -> ServerState:
        return server_state

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        if server_state.jobs is not None:
            await server_state.jobs.start()
        idle_task = asyncio.ensure_future(server_state.models.unload_idle_models())
        warm_up_task = (
            asyncio.ensure_future(asyncio.to_thread(warm_up)) if _needs_vad_warm_up(server_state.settings) else None
        )
        try:
            yield
        finally:
            idle_task.cancel()
            await asyncio.gather(idle_task, *([warm_up_task] if warm_up_task else []), return_exceptions=True)
            if server_state.jobs is not None:
                await server_state.jobs.stop()
            server_state.close()

    has_keys = server_state.gateway.api_keys is not None
    is_on_sagemaker = server_state.settings.compat == "sagemaker"
    api_router = Router(
        "/",
        route_handlers=[
            create_transcription,
            create_translation,
            serve_realtime,
            serve_audio_stream,
            list_models,
            retrieve_model,
            *((load_model, unload_model) if server_state.settings.model_admin else ()),
            *(JOB_ROUTES if server_state.jobs is not None else ()),
            *((invoke_endpoint,) if is_on_sagemaker else ()),
        ],
        security=[{SECURITY_SCHEME_NAME: []}]
        if has_keys
        else None,  # for the OpenAPI document; the check is the guard require_api_key
    )
    app = InstrumentedApp(
        route_handlers=[
            api_router,
            get_liveness,
            get_readiness,
            get_startup,
            get_metrics,
            *((ping,) if is_on_sagemaker else ()),
            create_assets_router(),
            *_create_page_routes(server_state),
        ],
        dependencies={"server_state": Provide(provide_server_state, sync_to_thread=False)},
        exception_handlers={Exception: handle_exception},
        guards=[check_body_headers, require_api_key],
        cors_config=_build_cors_config(server_state.settings),
        lifespan=[lifespan],
        # for bodies read by Litestar; the audio routes read theirs themselves, with limits for each part
        request_max_body_size=server_state.settings.max_upload_bytes + MAX_FORM_OVERHEAD_BYTES,
        logging_config=None,  # the embedding process configures logging
        openapi_config=OpenAPIConfig(
            title="neuron-whisper",
            version=__version__,
            description="Speech to text with OpenAI's audio API. Unsupported fields are rejected by name.",
            path=SCHEMA_URL,
            openapi_router=create_schema_router(),
            components=Components(security_schemes={SECURITY_SCHEME_NAME: SECURITY_SCHEME} if has_keys else None),
            render_plugins=[SwaggerUi(server_state.settings.root_path), JsonRenderPlugin()],
            servers=[Server(url=server_state.settings.root_path or "/")],
        ),
    )
    app.attach(server_state.gateway)
    return app


def _build_cors_config(settings: ServerSettings) -> CORSConfig | None:
    """CORS for the configured origins, None without: any header may be sent, and Retry-After may be read."""
    if not settings.cors_origins:
        return None
    return CORSConfig(
        allow_origins=[ANY_ORIGIN] if ANY_ORIGIN in settings.cors_origins else [],
        allow_origin_regex=PageOrigins(settings.cors_origins).pattern.pattern,
        allow_methods=["GET", "HEAD", "POST", "DELETE"],
        allow_headers=["*"],  # clients send headers of their own, such as OpenAI's X-Stainless-Lang
        expose_headers=["X-Request-Id", "Retry-After"],
    )


def _create_page_routes(server_state: ServerState) -> Sequence[HTTPRouteHandler]:
    model, languages, files = server_state.models.default.id, _list_languages(server_state.models), StaticFiles.load()
    config = create_page_config(server_state.settings, model, languages, server_state.samples.list_urls())
    page, static_files = create_page_route(config, files), create_static_route(files)
    return page, static_files, create_samples_route(server_state.samples)


def _list_languages(models: ModelRegistry) -> Sequence[str]:
    """Language codes that the page offers: those of the default model, or all while it is not loaded."""
    transcriber = models.default.transcriber
    return tuple(LANGUAGES) if transcriber is None else transcriber.languages
