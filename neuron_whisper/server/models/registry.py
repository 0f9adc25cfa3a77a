"""The models that are served: loaded when they are asked for, and let go when nobody used them for a while."""

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

from neuron_whisper.errors import DeviceFault, InvalidOption, ModelUnavailable
from neuron_whisper.server.config.settings import ServerSettings
from neuron_whisper.server.models.names import ModelNames, served_names
from neuron_whisper.transcriber import Transcriber

log = logging.getLogger(__name__)

T = TypeVar("T")

FAILED_FOR_S = 10.0  # so long a failed load answers for itself: every try reads the whole artifact
SHORTEST_WATCH_S = 0.01

ModelState = Literal["unloaded", "loading", "loaded", "unloading", "failed"]
"""unloaded: the next request loads it, unless it was taken out by hand; failed: loading it did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """A model that can be opened: what it answers to, its own name first, and how.

    `open` runs in a thread, or before the event loop does; it may raise any error of the tree.
    """

    names: tuple[str, ...]
    open: Callable[[], Transcriber]


class ServedModel:
    """What is known of one model. Used by the event loop's thread only, and written by Models alone."""

    def __init__(self, name: str, opens: Callable[[], Transcriber] | None) -> None:
        self.id, self.opens = name, opens
        self.transcriber: Transcriber | None = None
        self.in_flight = 0
        self.loads = 0
        self.used_at = time.monotonic()
        self.failed_at: float | None = None
        self.is_off = False  # until it is loaded by hand
        self.loading: asyncio.Task[None] | None = None
        self.nobody = asyncio.Event()
        self.nobody.set()

    @property
    def state(self) -> ModelState:
        if self.transcriber is not None:
            return "unloading" if self.is_off else "loaded"
        if self.loading is not None:
            return "loading"
        return "unloaded" if self.failed_at is None else "failed"

    @property
    def may_go(self) -> bool:
        """Whether it is loaded, nobody uses it, and it could be loaded again."""
        return self.state == "loaded" and not self.in_flight and self.opens is not None

    def begin(self) -> None:
        self.in_flight += 1
        self.nobody.clear()

    def end(self) -> None:
        self.in_flight -= 1
        self.used_at = time.monotonic()
        if not self.in_flight:
            self.nobody.set()

    def has(self, transcriber: Transcriber) -> None:
        self.transcriber, self.failed_at = transcriber, None
        self.loads += 1
        self.used_at = time.monotonic()


class Models:
    """Every model of a server. The event loop's thread uses it; threads open and close them, one after another.

    `idle_unload_s`: a model that nobody used for so long is let go, and the next request loads it again; 0: never.
    Raises InvalidOption as ModelNames does.
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
        self._models = {own: ServedModel(own, source.open) for own, source in zip(self.names.own, sources, strict=True)}
        self._idle_unload_s = idle_unload_s
        # what is let go is gone before the next is loaded, and no two loads share the memory
        self._turn = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()
        self._lock = threading.Lock()  # of the next two: a load may end when there is no event loop any more
        self._open: list[Transcriber] = []
        self._is_closed = False

    @classmethod
    def configured(cls, sources: Sequence[ModelSource], settings: ServerSettings) -> Self:
        """With the names that the settings say, and none loaded yet."""
        aliases = dict(alias.partition("=")[::2] for alias in settings.aliases)
        return cls(sources, aliases=aliases, default=settings.default_model, idle_unload_s=settings.idle_unload_s)

    @classmethod
    def of(cls, transcriber: Transcriber, settings: ServerSettings) -> Self:
        """The one model that is open already, and stays open to the end."""
        source = ModelSource(names=served_names(transcriber.name), open=lambda: transcriber)
        models = cls.configured([source], settings)
        models.default.opens = None
        models.default.has(transcriber)
        models._open.append(transcriber)
        return models

    # --- what there is ----------------------------------------------------------------------------

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self._models.values())

    @property
    def default(self) -> ServedModel:
        return self._models[self.names.default]

    def named(self, name: str | None) -> ServedModel:
        """The model that a name means, loaded or not; None: the default. Raises UnknownModel."""
        return self._models[self.names.meant(name)]

    @property
    def loaded(self) -> tuple[Transcriber, ...]:
        return tuple(model.transcriber for model in self if model.transcriber is not None)

    @property
    def fault(self) -> DeviceFault | None:
        """Of the first model whose device cannot be trusted any more: the process should end."""
        return next((it.fault for it in self.loaded if it.fault is not None), None)

    # --- use --------------------------------------------------------------------------------------

    @asynccontextmanager
    async def using(self, name: str | None) -> AsyncIterator[Transcriber]:
        """The model that `name` means, loaded now if it is not; it stays loaded while the block runs.

        Raises UnknownModel, ModelUnavailable (it was taken out by hand, or loading it failed: everybody who waits
        for one load is told).
        """
        model = self.named(name)
        if model.is_off:
            raise ModelUnavailable(model.id, "it was taken out of service")
        model.begin()
        try:
            yield model.transcriber or await self._loaded(model)
        finally:
            model.end()

    async def load(self, name: str) -> ServedModel:
        """Load it by hand, also after it was unloaded by hand. Raises UnknownModel, ModelUnavailable."""
        model = self.named(name)
        if model.state == "unloading":
            raise ModelUnavailable(model.id, "it is being unloaded")
        model.is_off, model.failed_at = False, None
        if model.transcriber is None:
            await self._loaded(model)
        return model

    async def unload(self, name: str, *, within_s: float) -> ServedModel:
        """Take it out of service, and let it go when nobody uses it any more, of which `within_s` are waited for.

        Raises UnknownModel, and InvalidOption for a model that could not be loaded again.
        """
        model = self.named(name)
        if model.opens is None:
            raise InvalidOption("model", name, "it was given to this server open, which cannot load it again")
        model.is_off = True
        leaving = asyncio.ensure_future(self._let_go(model))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)
        await asyncio.wait({leaving}, timeout=within_s)
        return model

    def preload(self, which: str) -> None:
        """Load "all", the "default" or "none", before there is an event loop. Raises any error of the tree."""
        for model in self:
            if model.transcriber is None and (which == "all" or (which == "default" and model is self.default)):
                model.has(self._opened(model))

    async def watch_idle(self) -> None:
        """Unload what nobody uses; runs until it is cancelled."""
        if not self._idle_unload_s:
            return
        while True:
            now = time.monotonic()
            idle = [model for model in self if model.may_go]
            for model in idle:
                if now - model.used_at >= self._idle_unload_s:
                    log.info("model unloaded name=%s idle_s=%.0f", model.id, now - model.used_at)
                    await self._close(model)
            due = min((model.used_at + self._idle_unload_s for model in idle if model.transcriber), default=now + 1)
            await asyncio.sleep(min(1.0, max(SHORTEST_WATCH_S, due - time.monotonic())))

    def close(self) -> None:
        """Close every transcriber, those included that are still being opened. Any thread; idempotent."""
        with self._lock:
            self._is_closed = True
            opened, self._open = self._open, []
        for transcriber in opened:
            transcriber.close()

    # --- loading ----------------------------------------------------------------------------------

    async def _loaded(self, model: ServedModel) -> Transcriber:
        """Wait for the model's one load. A waiter that is cancelled does not end it for the others."""
        if model.loading is None:
            if model.failed_at is not None and time.monotonic() - model.failed_at < FAILED_FOR_S:
                raise ModelUnavailable(model.id, "it could not be loaded", FAILED_FOR_S)
            model.loading = asyncio.ensure_future(self._load(model))
        await asyncio.shield(model.loading)
        if model.transcriber is None:
            raise ModelUnavailable(model.id, "it could not be loaded", FAILED_FOR_S)
        return model.transcriber

    async def _load(self, model: ServedModel) -> None:
        started = time.perf_counter()
        try:
            model.has(await self._in_turn(lambda: self._opened(model)))
        except Exception:  # whatever it was, this model does not serve and the others do
            model.failed_at = time.monotonic()
            log.exception("model not loaded name=%s", model.id)
        else:
            log.info("model loaded name=%s took_s=%.1f", model.id, time.perf_counter() - started)
        finally:
            model.loading = None

    def _opened(self, model: ServedModel) -> Transcriber:
        assert model.opens is not None
        transcriber = model.opens()
        with self._lock:
            if not self._is_closed:
                self._open.append(transcriber)
                return transcriber
        transcriber.close()
        raise ModelUnavailable(model.id, "the server ends")

    async def _let_go(self, model: ServedModel) -> None:
        if model.loading is not None:
            await asyncio.shield(model.loading)
        await model.nobody.wait()
        if model.is_off and model.transcriber is not None:
            log.info("model unloaded name=%s", model.id)
            await self._close(model)

    async def _close(self, model: ServedModel) -> None:
        transcriber, model.transcriber = model.transcriber, None
        assert transcriber is not None
        with self._lock:
            self._open = [it for it in self._open if it is not transcriber]
        await self._in_turn(functools.partial(_close, transcriber))

    async def _in_turn(self, work: Callable[[], T]) -> T:
        """The result of `work` in a thread, which is a daemon: a device that hangs must not keep the process."""
        done: Future[T] = Future()
        done.set_running_or_notify_cancel()  # it runs to its end, also when nobody waits any more

        def run() -> None:
            try:
                done.set_result(work())
            except Exception as error:
                done.set_exception(error)

        async with self._turn:
            threading.Thread(target=run, name="load-model", daemon=True).start()
            return await asyncio.wrap_future(done)


def _close(transcriber: Transcriber) -> None:
    transcriber.close()
    del transcriber
    gc.collect()  # an engine and its thread know each other
    if sys.platform == "linux":
        # glibc keeps what is freed in pieces for itself; the operator unloads to have the memory back
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
