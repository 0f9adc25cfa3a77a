"""The served models: loaded at start or on first use, unloaded when idle or on request."""

from __future__ import annotations

import asyncio
import ctypes
import functools
import gc
import logging
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal, Self, TypeVar

from neuron_whisper.errors import DeviceError, InvalidOption, ModelUnavailable
from neuron_whisper.server.config.settings import ServerSettings
from neuron_whisper.server.models.names import ModelNames, list_served_names
from neuron_whisper.transcriber import Transcriber

log = logging.getLogger(__name__)

T = TypeVar("T")

FAILED_LOAD_COOLDOWN_S = 10.0  # a failed load is not retried earlier: every try reads the whole artifact
MIN_IDLE_CHECK_S = 0.01

ModelState = Literal["unloaded", "loading", "loaded", "unloading", "failed"]
"""unloaded: the next request loads it, unless an operator unloaded it; failed: loading it failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """A model that can be opened: its names, the primary one first, and a function that opens it.

    `open` runs in a thread, or before the event loop runs; it may raise any NeuronWhisperError. `only_language` is the
    code of the language of a model that knows one alone.
    """

    names: tuple[str, ...]
    open: Callable[[], Transcriber]
    only_language: str | None = None


class ServedModel:
    """The state of one model. Used on the event loop only, changed by ModelRegistry alone."""

    def __init__(
        self, name: str, opener: Callable[[], Transcriber] | None, *, only_language: str | None = None
    ) -> None:
        self.id, self.opener, self.only_language = name, opener, only_language
        self.transcriber: Transcriber | None = None
        self.in_flight = 0
        self.load_count = 0
        self.last_used_at = time.monotonic()
        self.failed_at: float | None = None
        self.is_disabled = False  # unloaded by an operator, until loaded by one
        self.load_task: asyncio.Task[None] | None = None
        self.idle = asyncio.Event()
        self.idle.set()

    @property
    def state(self) -> ModelState:
        if self.transcriber is not None:
            return "unloading" if self.is_disabled else "loaded"
        if self.load_task is not None:
            return "loading"
        return "unloaded" if self.failed_at is None else "failed"

    @property
    def can_unload(self) -> bool:
        """Whether it is loaded, has no request in flight and can be loaded again."""
        return self.state == "loaded" and not self.in_flight and self.opener is not None

    def acquire(self) -> None:
        self.in_flight += 1
        self.idle.clear()

    def release(self) -> None:
        self.in_flight -= 1
        self.last_used_at = time.monotonic()
        if not self.in_flight:
            self.idle.set()

    def set_loaded(self, transcriber: Transcriber) -> None:
        self.transcriber, self.failed_at = transcriber, None
        self.load_count += 1
        self.last_used_at = time.monotonic()


class ModelRegistry:
    """All models of a server. Used on the event loop; threads open and close models, one at a time.

    `idle_unload_s`: a model without requests for this long is unloaded, and the next request loads it again;
    0: never. Raises InvalidOption as ModelNames does.
    """

    def __init__(
        self,
        sources: Sequence[ModelSource],
        *,
        aliases: Mapping[str, str] | None = None,
        default: str | None = None,
        idle_unload_s: float = 0.0,
    ) -> None:
        self.names = ModelNames([source.names for source in sources], aliases=aliases, default=default)
        self._models = {
            name: ServedModel(name, source.open, only_language=source.only_language)
            for name, source in zip(self.names.primary_names, sources, strict=True)
        }
        self._idle_unload_s = idle_unload_s
        # one load or close at a time: memory is freed before the next load, and two loads never add up
        self._load_lock = asyncio.Lock()
        self._unload_tasks: set[asyncio.Task[None]] = set()
        self._lock = threading.Lock()  # guards the next two: a load may end after the event loop
        self._open_transcribers: list[Transcriber] = []
        self._is_closed = False

    @classmethod
    def from_settings(cls, sources: Sequence[ModelSource], settings: ServerSettings) -> Self:
        """A registry with the names and aliases of the settings, nothing loaded yet."""
        aliases = dict(alias.partition("=")[::2] for alias in settings.aliases)
        return cls(sources, aliases=aliases, default=settings.default_model, idle_unload_s=settings.idle_unload_s)

    @classmethod
    def from_transcriber(cls, transcriber: Transcriber, settings: ServerSettings) -> Self:
        """A registry of one open transcriber, which is never unloaded."""
        source = ModelSource(
            names=list_served_names(transcriber.name),
            open=lambda: transcriber,
            only_language=transcriber.only_language,
        )
        models = cls.from_settings([source], settings)
        models.default.opener = None
        models.default.set_loaded(transcriber)
        models._open_transcribers.append(transcriber)
        return models

    # --- lookup ------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self._models.values())

    @property
    def default(self) -> ServedModel:
        return self._models[self.names.default]

    def find(self, name: str | None) -> ServedModel:
        """The model that a name refers to, loaded or not; None: the default. Raises UnknownModel."""
        return self._models[self.names.resolve(name)]

    @property
    def loaded_transcribers(self) -> tuple[Transcriber, ...]:
        return tuple(model.transcriber for model in self if model.transcriber is not None)

    @property
    def device_error(self) -> DeviceError | None:
        """The error of the first model whose device failed: the process should end. None without."""
        return next((it.device_error for it in self.loaded_transcribers if it.device_error is not None), None)

    # --- use --------------------------------------------------------------------------------------

    @asynccontextmanager
    async def use(self, name: str | None) -> AsyncIterator[Transcriber]:
        """The transcriber of model `name`, loaded now if necessary; it stays loaded while the block runs.

        Raises UnknownModel, ModelUnavailable (an operator unloaded it, or loading failed: for all that wait for it).
        """
        model = self.find(name)
        if model.is_disabled:
            raise ModelUnavailable(model.id, "it was unloaded by an operator")
        model.acquire()
        try:
            yield model.transcriber or await self._wait_until_loaded(model)
        finally:
            model.release()

    async def load(self, name: str) -> ServedModel:
        """Load a model on request of an operator, and enable it again. Raises UnknownModel, ModelUnavailable."""
        model = self.find(name)
        if model.state == "unloading":
            raise ModelUnavailable(model.id, "it is being unloaded")
        model.is_disabled, model.failed_at = False, None
        if model.transcriber is None:
            await self._wait_until_loaded(model)
        return model

    async def unload(self, name: str, *, timeout_s: float) -> ServedModel:
        """Reject new requests for a model and unload it after those in flight; wait at most `timeout_s` for that.

        Raises UnknownModel, and InvalidOption for a model that cannot be loaded again.
        """
        model = self.find(name)
        if model.opener is None:
            raise InvalidOption("model", name, "this model was passed in already loaded and cannot be reloaded")
        model.is_disabled = True
        unload_task = asyncio.ensure_future(self._unload_when_idle(model))
        self._unload_tasks.add(unload_task)
        unload_task.add_done_callback(self._unload_tasks.discard)
        await asyncio.wait({unload_task}, timeout=timeout_s)
        return model

    def preload(self, which: str) -> None:
        """Load "all" models, the "default" one or "none" before the event loop runs. Raises any NeuronWhisperError."""
        for model in self:
            if model.transcriber is None and (which == "all" or (which == "default" and model is self.default)):
                model.set_loaded(self._open_model(model))

    async def unload_idle_models(self) -> None:
        """Unload idle models; runs until it is cancelled."""
        if not self._idle_unload_s:
            return
        while True:
            now = time.monotonic()
            idle = [model for model in self if model.can_unload]
            for model in idle:
                if now - model.last_used_at >= self._idle_unload_s:
                    log.info("model unloaded name=%s idle_s=%.0f", model.id, now - model.last_used_at)
                    await self._close(model)
            due = min(
                (model.last_used_at + self._idle_unload_s for model in idle if model.transcriber), default=now + 1
            )
            await asyncio.sleep(min(1.0, max(MIN_IDLE_CHECK_S, due - time.monotonic())))

    def close(self) -> None:
        """Close every transcriber, also those still being opened. Any thread; idempotent."""
        with self._lock:
            self._is_closed = True
            opened, self._open_transcribers = self._open_transcribers, []
        for transcriber in opened:
            transcriber.close()

    # --- loading ----------------------------------------------------------------------------------

    async def _wait_until_loaded(self, model: ServedModel) -> Transcriber:
        """Wait for the model's single load. Cancelling one waiter does not cancel the load."""
        if model.load_task is None:
            if model.failed_at is not None and time.monotonic() - model.failed_at < FAILED_LOAD_COOLDOWN_S:
                raise ModelUnavailable(model.id, "loading failed", FAILED_LOAD_COOLDOWN_S)
            model.load_task = asyncio.ensure_future(self._load(model))
        await asyncio.shield(model.load_task)
        if model.transcriber is None:
            raise ModelUnavailable(model.id, "loading failed", FAILED_LOAD_COOLDOWN_S)
        return model.transcriber

    async def _load(self, model: ServedModel) -> None:
        started = time.perf_counter()
        try:
            model.set_loaded(await self._run_exclusive(lambda: self._open_model(model)))
        except Exception:  # whatever the error, the other models keep serving
            model.failed_at = time.monotonic()
            log.exception("model not loaded name=%s", model.id)
        else:
            log.info("model loaded name=%s took_s=%.1f", model.id, time.perf_counter() - started)
        finally:
            model.load_task = None

    def _open_model(self, model: ServedModel) -> Transcriber:
        assert model.opener is not None
        transcriber = model.opener()
        with self._lock:
            if not self._is_closed:
                self._open_transcribers.append(transcriber)
                return transcriber
        transcriber.close()
        raise ModelUnavailable(model.id, "the server is shutting down")

    async def _unload_when_idle(self, model: ServedModel) -> None:
        if model.load_task is not None:
            await asyncio.shield(model.load_task)
        await model.idle.wait()
        if model.is_disabled and model.transcriber is not None:
            log.info("model unloaded name=%s", model.id)
            await self._close(model)

    async def _close(self, model: ServedModel) -> None:
        transcriber, model.transcriber = model.transcriber, None
        assert transcriber is not None
        with self._lock:
            self._open_transcribers = [it for it in self._open_transcribers if it is not transcriber]
        await self._run_exclusive(functools.partial(_close_transcriber, transcriber))

    async def _run_exclusive(self, work: Callable[[], T]) -> T:
        """The result of `work`, run in a daemon thread: a device that hangs must not keep the process alive."""
        done: Future[T] = Future()
        done.set_running_or_notify_cancel()  # it runs to its end, also without a waiter

        def run() -> None:
            try:
                done.set_result(work())
            except Exception as error:
                done.set_exception(error)

        async with self._load_lock:
            threading.Thread(target=run, name="load-model", daemon=True).start()
            return await asyncio.wrap_future(done)


def _close_transcriber(transcriber: Transcriber) -> None:
    transcriber.close()
    del transcriber
    gc.collect()  # an engine and its thread refer to each other
    if sys.platform == "linux":
        # glibc keeps freed memory; an operator unloads to get it back
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
