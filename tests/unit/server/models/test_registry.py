"""Loading and unloading of models."""

from __future__ import annotations

import asyncio
import gc
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from neuron_whisper.errors import ArtifactCorrupt, InvalidOption, ModelUnavailable
from neuron_whisper.server import ServerSettings
from neuron_whisper.server.models.registry import ModelRegistry
from tests.support.model_shelf import ModelShelf, read_states, serve_models, transcribe
from tests.support.servers import (
    TIMEOUT_S,
    TRANSCRIPTIONS,
    read_error,
    wait_for,
)


def test_invalid_settings_of_models_are_rejected() -> None:
    for field, value in (("aliases", ("whisper-1",)), ("preload", "some"), ("idle_unload_s", -1.0)):
        with pytest.raises(InvalidOption, match=f"^{field}: "):
            ServerSettings(**{field: value})  # type: ignore[arg-type]


def test_concurrent_requests_load_a_model_once() -> None:
    shelf = ModelShelf("turbo", "tiny.en")
    with serve_models(shelf, preload="none") as client, ThreadPoolExecutor() as clients:
        shelf.open_gate.clear()
        first, second = (clients.submit(transcribe, client, "tiny.en") for _ in range(2))
        wait_for(str(client.base_url), models={"turbo": "unloaded", "tiny.en": "loading"}, requests=2)
        startup = client.get("/health/startup")
        assert (startup.status_code, startup.json()) == (503, {"status": "loading"})
        shelf.open_gate.set()
        assert first.result().status_code == second.result().status_code == 200
        assert shelf.opened == {"turbo": 0, "tiny.en": 1}
        assert client.get("/health/startup").json() == {"status": "started"}


def test_a_failed_load_fails_every_waiting_request_and_is_not_retried_at_once() -> None:
    shelf = ModelShelf("turbo", "tiny.en")
    with serve_models(shelf, preload="default") as client, ThreadPoolExecutor() as clients:
        shelf.open_error = ArtifactCorrupt("/secret/graphs.bin", expected="this", found="that")
        shelf.open_gate.clear()
        waiting = [clients.submit(transcribe, client, "tiny.en") for _ in range(3)]
        wait_for(str(client.base_url), requests=3)
        shelf.open_gate.set()
        for answer in (*(it.result() for it in waiting), transcribe(client, "tiny.en")):
            error = read_error(answer, 503)
            assert error["code"] == "model_unavailable"
            assert error["message"] == "model 'tiny.en' is not available now: loading failed"
            assert int(answer.headers["retry-after"]) >= 1
        assert shelf.opened["tiny.en"] == 1
        assert read_states(client) == {"turbo": "loaded", "tiny.en": "failed"}
        assert transcribe(client).status_code == 200
        shelf.open_error = None
        assert client.post("/v1/models/load", json={"model": "tiny.en"}).json()["state"] == "loaded"
        assert transcribe(client, "tiny.en").status_code == 200


def test_an_unreadable_upload_loads_no_model() -> None:
    shelf = ModelShelf("turbo")
    with serve_models(shelf, preload="none") as client:
        read_error(client.post(TRANSCRIPTIONS, files={"file": b"no sound"}), 400)
        assert shelf.opened == {"turbo": 0}


def test_an_idle_model_is_unloaded_and_reloaded_on_demand() -> None:
    shelf = ModelShelf("turbo")
    with serve_models(shelf, idle_unload_s=0.05) as client:
        wait_for(str(client.base_url), models={"turbo": "unloaded"})
        first = shelf.sessions["turbo"]
        assert first.is_closed
        assert transcribe(client).status_code == 200
        assert shelf.opened["turbo"] >= 2


def test_a_model_in_use_is_not_unloaded() -> None:
    async def scene() -> None:
        shelf = ModelShelf("turbo")
        models = ModelRegistry(shelf.sources, idle_unload_s=0.01)
        watching = asyncio.ensure_future(models.unload_idle_models())
        async with models.use(None) as held:
            shelf.sessions["turbo"].gate.clear()
            await asyncio.sleep(0.1)  # ten times as long as it may be idle
            assert models.default.transcriber is held
            async with models.use("turbo") as again:
                assert again is held
        while models.default.state != "unloaded":
            await asyncio.sleep(0.01)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        models.close()

    asyncio.run(scene())


def test_an_unloaded_model_is_freed() -> None:
    async def scene() -> None:
        shelf = ModelShelf("turbo")
        models = ModelRegistry(shelf.sources)
        async with models.use(None) as held:
            gone = weakref.ref(held)
            del held
        await models.unload("turbo", timeout_s=TIMEOUT_S)
        async with asyncio.timeout(TIMEOUT_S):  # the thread that loaded it may still be on its way out
            while gone() is not None:
                gc.collect()
                await asyncio.sleep(0.01)
        with pytest.raises(ModelUnavailable, match="unloaded by an operator"):
            async with models.use("turbo"):
                pass
        models.close()

    asyncio.run(scene())


def test_cancelling_one_waiter_does_not_cancel_the_load() -> None:
    async def scene() -> None:
        shelf = ModelShelf("turbo")
        shelf.open_gate.clear()
        models = ModelRegistry(shelf.sources)

        async def use() -> str:
            async with models.use(None) as held:
                return held.name

        first, second = asyncio.ensure_future(use()), asyncio.ensure_future(use())
        await asyncio.sleep(0.01)
        first.cancel()
        shelf.open_gate.set()
        assert await second == "turbo"
        assert shelf.opened == {"turbo": 1}
        models.close()

    asyncio.run(scene())
