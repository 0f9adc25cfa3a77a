"""serve: the server as a process, from the socket to a drained end."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

import uvicorn

from neuron_whisper.errors import DeviceError, InvalidOption
from neuron_whisper.server.app import build_app
from neuron_whisper.server.config.settings import ServerSettings
from neuron_whisper.server.http.connections import create_limited_h11_protocol
from neuron_whisper.server.models.registry import ModelRegistry
from neuron_whisper.server.state import ServerState
from neuron_whisper.transcriber import Transcriber

log = logging.getLogger(__name__)

KEEP_ALIVE_S = 75  # longer than load balancers keep an idle connection, so that they close it and not we
SHUTDOWN_GRACE_S = 2  # for answers on their way when the server has to end
BACKLOG = 2048


def serve(
    models: Transcriber | ModelRegistry,
    settings: ServerSettings,
    *,
    on_listening: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve until SIGTERM or SIGINT; call it from the main thread. What is served is closed when this returns.

    The first signal drains: not ready, new work is refused, requests in flight finish within
    `settings.drain_s`. A second one ends the process at once. `on_listening` is told the address.

    Raises InvalidOption when the address cannot be had, DeviceError when the device failed: end the process.
    """
    _warn_if_no_keys(settings)
    with _listen(settings) as listener:
        service = ServerState(models, settings)
        server = DrainingServer(service, lambda: on_listening(_format_url(settings, listener)))
        try:
            server.run(sockets=[listener])
            fault = service.models.device_error
        finally:
            _close_models(service.models)
    if fault is not None:
        raise DeviceError(str(fault))


class DrainingServer(uvicorn.Server):
    """uvicorn with a drain before its shutdown: while requests finish, others are answered, not refused."""

    def __init__(self, service: ServerState, on_listening: Callable[[], None] = lambda: None) -> None:
        super().__init__(
            uvicorn.Config(
                build_app(service),
                # h11 reads what a client still sends after an early answer, so that it sees the answer
                http=create_limited_h11_protocol(
                    max_connections=service.settings.max_connections,
                    header_timeout_s=service.settings.header_timeout_s,
                ),
                ws="websockets-sansio",
                ws_max_size=service.settings.realtime_message_bytes,
                ws_ping_timeout=None,  # a client that is slowed down answers late; our own idle timeout finds the dead
                ws_per_message_deflate=False,  # speech does not shrink, and what unpacks is an attack
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=SHUTDOWN_GRACE_S,
            )
        )
        self._service, self._on_listening = service, on_listening
        self._loop: asyncio.AbstractEventLoop | None = None
        self._drain_task: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self._reload_keys_on_sighup()
        self._on_listening()

    def _reload_keys_on_sighup(self) -> None:
        """SIGHUP reads the file of keys again, at once; without one it does nothing, and does not end the process."""
        keys = self._service.gateway.api_keys
        if threading.current_thread() is threading.main_thread():
            assert self._loop is not None
            self._loop.add_signal_handler(signal.SIGHUP, keys.reload if keys is not None else lambda: None)

    async def on_tick(self, counter: int) -> bool:
        if self._service.models.device_error is not None:
            log.critical("the device failed; the server ends")
            return True
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal, in the main thread and between any two instructions of it."""
        for handled in (signal.SIGTERM, signal.SIGINT):
            signal.signal(handled, signal.SIG_DFL)  # the next one ends the process, whatever it is doing
        if self._loop is None:  # nothing was served yet
            self.should_exit = True
        else:
            self._loop.call_soon_threadsafe(self.begin_drain)

    def begin_drain(self) -> None:
        """Refuse new work, finish what is in flight, then end. In the event loop's thread."""
        if self._drain_task is None:
            self._service.drain_started.set()
            self._drain_task = asyncio.ensure_future(self._drain())

    async def _drain(self) -> None:
        service = self._service
        if service.jobs is not None:
            await service.jobs.stop()  # they go on where the next process starts
        log.info("draining requests=%d within_s=%g", service.in_flight, service.settings.drain_s)
        with suppress(TimeoutError):
            await asyncio.wait_for(service.idle.wait(), service.settings.drain_s)
        if service.in_flight:
            log.warning("drain took too long requests=%d", service.in_flight)
            service.abort_requests()
        self.should_exit = True


def _warn_if_no_keys(settings: ServerSettings) -> None:
    if settings.keys_file is None and not _is_loopback(settings.host):
        log.warning(
            "ANYBODY who reaches %s can use this server: it has no keys. Make some with `neuron-whisper keys create` "
            "and serve with --keys-file, or put something in front that asks for them",
            settings.host,
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(settings: ServerSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        raise InvalidOption("host and port", where, f"the address cannot be had: {error.strerror or error}") from error


def _format_url(settings: ServerSettings, listener: socket.socket) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{listener.getsockname()[1]}"


def _close_models(models: ModelRegistry) -> None:
    """Close them, but do not wait for a device that hangs."""
    closing = threading.Thread(target=models.close, daemon=True)
    closing.start()
    closing.join(SHUTDOWN_GRACE_S)
