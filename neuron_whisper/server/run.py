"""serve: runs the server process, from the listening socket to a drained shutdown."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import cast

import uvicorn

from neuron_whisper.errors import DeviceError, ListenFailed
from neuron_whisper.server.app import build_app
from neuron_whisper.server.config.settings import ServerSettings
from neuron_whisper.server.http.hosts import is_loopback
from neuron_whisper.server.models.registry import ModelRegistry
from neuron_whisper.server.state import ServerState
from neuron_whisper.server.transport.connection_limits import ConnectionLimits
from neuron_whisper.server.transport.connections import LimitedHttpProtocol, create_protocols
from neuron_whisper.server.transport.descriptors import AcceptErrors, fit_connections
from neuron_whisper.server.transport.websocket_connections import LimitedWebSocketProtocol
from neuron_whisper.transcriber import Transcriber

log = logging.getLogger(__name__)

KEEP_ALIVE_S = 75  # longer than load balancers keep an idle connection, so that they close it first
SHUTDOWN_GRACE_S = 2  # for responses being sent when the server has to stop
BACKLOG = 128  # connections that wait to be accepted; asyncio accepts as many before it does anything else
ANY_IPV6_ADDRESS = "::"  # takes IPv4 as well
CHECK_TICKS = 5  # of uvicorn, 0.1 s each, between two looks at connections that are not read


def serve(
    models: Transcriber | ModelRegistry,
    settings: ServerSettings,
    *,
    on_listening: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve until SIGTERM or SIGINT; call it from the main thread. The models are closed when this returns.

    The first signal drains: the server is not ready, rejects new requests, and requests in flight finish within
    `settings.drain_s`. A second signal ends the process at once. `on_listening` is called with the URL.

    Raises ListenFailed where the address is not available, DeviceError where the device failed: end the process.
    """
    _warn_if_no_keys(settings)
    with _listen(settings) as listener:
        server_state = ServerState(models, settings)
        server_state.forkserver.start()  # the first upload need not wait for its imports
        server = DrainingServer(server_state, lambda: on_listening(_format_url(settings, listener)))
        try:
            server.run(sockets=[listener])
            error = server_state.models.device_error
        finally:
            _close_models(server_state.models)
    if error is not None:
        raise DeviceError(str(error))


def end_now(number: int, frame: FrameType | None) -> None:
    """The default action of a signal, which process 1 of a container does not have."""
    os._exit(128 + number)


class DrainingServer(uvicorn.Server):
    """uvicorn with a drain before its shutdown: while requests finish, new ones get a 503 response."""

    def __init__(self, server_state: ServerState, on_listening: Callable[[], None] = lambda: None) -> None:
        settings = server_state.settings
        # h11 reads the rest of a body after an early response, so that the client sees the response
        http_protocol, websocket_protocol = create_protocols(
            ConnectionLimits(
                max_connections=fit_connections(settings.max_connections),
                header_timeout_s=settings.header_timeout_s,
                send_timeout_s=settings.send_timeout_s,
                count_closed=server_state.gateway.metrics.count_closed_connection,
            )
        )
        super().__init__(
            uvicorn.Config(
                build_app(server_state),
                http=http_protocol,
                ws=websocket_protocol,
                ws_max_size=settings.realtime_message_bytes,
                ws_ping_timeout=None,  # a client that is slowed down answers late; realtime_idle_s finds dead ones
                ws_per_message_deflate=False,  # speech does not compress, and a message that expands is an attack
                backlog=BACKLOG,
                log_config=None,
                access_log=False,
                server_header=False,
                # uvicorn's own default believes every client on this machine
                proxy_headers=bool(server_state.settings.forwarded_allow_ips),
                forwarded_allow_ips=_list_trusted_proxies(server_state.settings),
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=SHUTDOWN_GRACE_S,
            )
        )
        self._server_state, self._on_listening = server_state, on_listening
        self._loop: asyncio.AbstractEventLoop | None = None
        self._drain_task: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(AcceptErrors(self._server_state.gateway.metrics.count_closed_connection))
        for listener in sockets or ():
            # connections inherit it; asyncio sets it for listeners of its own alone. Without it the body of a response
            # on a kept connection waits 40 ms for the client to acknowledge the headers.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await super().startup(sockets)
        self._reload_keys_on_sighup()
        self._on_listening()

    def _reload_keys_on_sighup(self) -> None:
        """Reload the API keys on SIGHUP; without keys ignore the signal, which would end the process."""
        keys = self._server_state.gateway.api_keys
        if threading.current_thread() is threading.main_thread():
            assert self._loop is not None
            self._loop.add_signal_handler(signal.SIGHUP, keys.reload if keys is not None else lambda: None)

    async def on_tick(self, counter: int) -> bool:
        if self._server_state.models.device_error is not None:
            log.critical("device failed, server stops")
            return True
        if counter % CHECK_TICKS == 0:
            now = time.monotonic()
            for connection in tuple(self.server_state.connections):
                cast("LimitedHttpProtocol | LimitedWebSocketProtocol", connection).close_if_not_read(now)
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Start the drain on the first signal. Runs in the main thread between any two instructions."""
        for handled in (signal.SIGTERM, signal.SIGINT):
            signal.signal(handled, end_now if os.getpid() == 1 else signal.SIG_DFL)  # a second one ends it at once
        if self._loop is None:  # not started yet
            self.should_exit = True
        else:
            self._loop.call_soon_threadsafe(self.begin_drain)

    def begin_drain(self) -> None:
        """Reject new requests, finish those in flight, then stop. Called on the event loop."""
        if self._drain_task is None:
            self._server_state.drain_started.set()
            self._drain_task = asyncio.ensure_future(self._drain())

    async def _drain(self) -> None:
        server_state = self._server_state
        if server_state.jobs is not None:
            await server_state.jobs.stop()  # the next process resumes them
        log.info("draining requests=%d within_s=%g", server_state.in_flight, server_state.settings.drain_s)
        with suppress(TimeoutError):
            await asyncio.wait_for(server_state.idle.wait(), server_state.settings.drain_s)
        if server_state.in_flight:
            log.warning("drain timed out requests=%d", server_state.in_flight)
            server_state.abort_requests()
        self.should_exit = True


def _warn_if_no_keys(settings: ServerSettings) -> None:
    if settings.keys_file is None and not is_loopback(settings.host):
        log.warning(
            "No API keys configured: anyone who can reach %s can use this server. Create keys with "
            "`neuron-whisper keys create` and pass --keys-file, or require authentication in a reverse proxy",
            settings.host,
        )


def _list_trusted_proxies(settings: ServerSettings) -> list[str] | str:
    """As uvicorn takes them: "*" alone stands for every address."""
    return "*" if "*" in settings.forwarded_allow_ips else list(settings.forwarded_allow_ips)


def _listen(settings: ServerSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    is_dual_stack = settings.host == ANY_IPV6_ADDRESS and socket.has_dualstack_ipv6()
    try:
        return socket.create_server(
            (settings.host, settings.port), family=family, backlog=BACKLOG, dualstack_ipv6=is_dual_stack
        )
    except OSError as error:
        address = f"{settings.host}:{settings.port}"
        raise ListenFailed(address, error.strerror or str(error)) from error


def _format_url(settings: ServerSettings, listener: socket.socket) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{listener.getsockname()[1]}"


def _close_models(models: ModelRegistry) -> None:
    """Close the models, without waiting for a device that hangs."""
    thread = threading.Thread(target=models.close, daemon=True)
    thread.start()
    thread.join(SHUTDOWN_GRACE_S)
