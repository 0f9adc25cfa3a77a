"""Servers of several models that are loaded on demand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx

from neuron_whisper.server import ServerSettings
from neuron_whisper.server.models.names import list_served_names
from neuron_whisper.server.models.registry import ModelRegistry, ModelSource
from neuron_whisper.transcriber import Transcriber
from tests.support.fake_session import FakeSession
from tests.support.servers import (
    TIMEOUT_S,
    TRANSCRIPTIONS,
    make_transcriber,
    serve_in_thread,
    tone,
)


class ModelShelf:
    """Models that can be opened: how often each was, and the session of each that was opened last."""

    def __init__(self, *names: str) -> None:
        self.opened = dict.fromkeys(names, 0)
        self.sessions: dict[str, FakeSession] = {}
        self.open_gate = threading.Event()
        self.open_gate.set()
        self.open_error: Exception | None = None

    @property
    def sources(self) -> list[ModelSource]:
        return [
            ModelSource(
                names=list_served_names(name),
                open=self._opener(name),
                only_language="en" if name.endswith(".en") else None,
            )
            for name in self.opened
        ]

    def _opener(self, name: str) -> Callable[[], Transcriber]:
        def open_it() -> Transcriber:
            self.opened[name] += 1
            assert self.open_gate.wait(TIMEOUT_S)
            if self.open_error is not None:
                raise self.open_error
            made, self.sessions[name] = make_transcriber(name=name, is_multilingual=not name.endswith(".en"))
            return made

        return open_it


@contextmanager
def serve_models(shelf: ModelShelf, **settings: object) -> Iterator[httpx.Client]:
    """A client of a server on the shelf's models."""
    chosen = ServerSettings(vad_filter=False, model_admin=True, **settings)  # type: ignore[arg-type]
    models = ModelRegistry.from_settings(shelf.sources, chosen)
    try:
        models.preload(chosen.preload)
        with (
            serve_in_thread(models, chosen) as (url, _),
            httpx.Client(base_url=url, timeout=TIMEOUT_S, verify=False) as client,
        ):
            yield client
    finally:
        shelf.open_gate.set()
        for session in shelf.sessions.values():
            session.gate.set()
        models.close()


def transcribe(client: httpx.Client, model: str | None = None) -> httpx.Response:
    return client.post(TRANSCRIPTIONS, files={"file": tone()}, data={} if model is None else {"model": model})


def read_states(client: httpx.Client) -> dict[str, str]:
    return {model["id"]: model["state"] for model in client.get("/v1/models").json()["data"]}
