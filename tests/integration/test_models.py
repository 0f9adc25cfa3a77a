"""Several models behind one server: which a name means, when each is loaded, and what is told when it cannot be."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from neuron_whisper.errors import ArtifactCorrupt, InvalidOption, ModelUnavailable, UnknownModel
from neuron_whisper.server import ServerSettings
from neuron_whisper.server.models.names import ModelNames, list_served_names
from neuron_whisper.server.models.registry import ModelRegistry, ModelSource
from neuron_whisper.transcriber import Transcriber
from tests.support.fake_session import FakeSession
from tests.support.servers import (
    TIMEOUT_S,
    TRANSCRIPTIONS,
    make_transcriber,
    read_error,
    serve_in_thread,
    tone,
    wait_for,
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
        return [ModelSource(names=list_served_names(name), open=self._opener(name)) for name in self.opened]

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


# --- names ----------------------------------------------------------------------------------------


def test_a_name_means_one_model_and_no_name_means_the_first() -> None:
    names = ModelNames([list_served_names("base"), list_served_names("someone/finetuned")])
    assert [names.resolve(name) for name in (None, "whisper-1", "openai/whisper-base")] == ["base"] * 3
    assert names.resolve("someone/finetuned") == "someone/finetuned"
    assert names.list_aliases("base") == ("openai/whisper-base", "whisper-1")
    with pytest.raises(UnknownModel, match="'tiny'; known here: base, someone/finetuned, openai/whisper-base,"):
        names.resolve("tiny")


def test_a_second_artifact_of_one_model_goes_by_its_own_name() -> None:
    names = ModelNames(
        [(*list_served_names("base"), "base-cpu-tp1-aa"), (*list_served_names("base"), "base-cpu-tp1-bb")]
    )
    assert names.primary_names == ("base", "openai/whisper-base")
    assert names.resolve("base-cpu-tp1-bb") == "openai/whisper-base"


def test_aliases_go_before_names_that_models_bring_along() -> None:
    names = ModelNames(
        [list_served_names("base"), list_served_names("turbo")],
        aliases={"gpt-4o-transcribe": "large-v3-turbo", "whisper-1": "turbo"},
    )
    assert (names.resolve("gpt-4o-transcribe"), names.resolve("whisper-1"), names.resolve(None)) == (
        "turbo",
        "turbo",
        "base",
    )
    assert ModelNames([["a"], ["b"]], default="b").resolve("whisper-1") == "b"


@pytest.mark.parametrize(
    ("models", "options", "field"),
    [
        ([["a"]], {"aliases": {"x": "b"}}, "alias"),
        ([["a"], ["b"]], {"aliases": {"b": "a"}}, "alias"),
        ([["a"]], {"default": "b"}, "default_model"),
        ([["a"], ["a"]], {}, "model"),
    ],
)
def test_names_that_mean_nothing_or_two_things_are_refused(
    models: list[list[str]], options: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidOption, match=f"^{field}: "):
        ModelNames(models, **options)  # type: ignore[arg-type]


def test_settings_of_models_that_cannot_be_are_refused() -> None:
    for field, value in (("aliases", ("whisper-1",)), ("preload", "some"), ("idle_unload_s", -1.0)):
        with pytest.raises(InvalidOption, match=f"^{field}: "):
            ServerSettings(**{field: value})  # type: ignore[arg-type]


# --- over the wire --------------------------------------------------------------------------------


def test_a_request_gets_the_model_it_names() -> None:
    with serve_models(ModelShelf("turbo", "tiny.en"), aliases=("mine=tiny.en",)) as client:
        assert read_states(client) == {"turbo": "loaded", "tiny.en": "loaded"}
        assert transcribe(client, "mine").json() == transcribe(client, "tiny.en").json()
        assert (
            transcribe(client).json()
            == transcribe(client, "whisper-1").json()
            == transcribe(client, "large-v3-turbo").json()
        )
        error = read_error(transcribe(client, "base"), 404)
        assert (error["param"], error["code"]) == ("model", "model_not_found")
        assert "known here: turbo, tiny.en, large-v3-turbo" in error["message"]
        # only a multilingual model takes it
        german = {"files": {"file": tone()}, "data": {"model": "mine", "language": "de"}}
        assert read_error(client.post(TRANSCRIPTIONS, **german), 400)["param"] == "language"  # type: ignore[arg-type]


def test_the_list_tells_of_every_model_and_each_is_found_by_any_name() -> None:
    with serve_models(ModelShelf("turbo", "tiny.en"), preload="default", aliases=("mine=tiny.en",)) as client:
        turbo, tiny = client.get("/v1/models").json()["data"]
        assert (turbo["id"], turbo["object"], turbo["default"], turbo["state"]) == ("turbo", "model", True, "loaded")
        assert (tiny["id"], tiny["default"], tiny["state"]) == ("tiny.en", False, "unloaded")
        assert tiny["aliases"] == ["openai/whisper-tiny.en", "mine"]
        assert client.get("/v1/models/mine").json() == client.get("/v1/models/openai/whisper-tiny.en").json() == tiny
        health = client.get("/health/ready").json()
        assert (health["status"], health["models"]) == ("ready", {"turbo": "loaded", "tiny.en": "unloaded"})


def test_requests_for_a_model_that_is_not_loaded_load_it_once() -> None:
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


def test_a_load_that_fails_is_told_to_all_who_wait_and_not_tried_at_once_again() -> None:
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


def test_garbage_loads_no_model() -> None:
    shelf = ModelShelf("turbo")
    with serve_models(shelf, preload="none") as client:
        read_error(client.post(TRANSCRIPTIONS, files={"file": b"no sound"}), 400)
        assert shelf.opened == {"turbo": 0}


def test_a_model_unloaded_by_hand_serves_again_when_it_is_loaded_by_hand() -> None:
    with serve_models(ModelShelf("turbo", "tiny.en")) as client:
        told = client.post("/v1/models/unload", json={"model": "tiny.en"}).json()
        assert (told["state"], told["available"]) == ("unloaded", False)
        assert read_error(transcribe(client, "tiny.en"), 503)["code"] == "model_unavailable"
        assert transcribe(client).status_code == 200
        told = client.post("/v1/models/load", json={"model": "tiny.en"}).json()
        assert (told["state"], told["available"]) == ("loaded", True)
        assert transcribe(client, "tiny.en").status_code == 200
        read_error(client.post("/v1/models/load", json={"model": "nobody"}), 404)
        read_error(client.post("/v1/models/load", json={"modle": "turbo"}), 400)


def test_unloading_by_hand_lets_requests_finish() -> None:
    shelf = ModelShelf("turbo", "tiny.en")
    with serve_models(shelf) as client, ThreadPoolExecutor() as clients:
        shelf.sessions["tiny.en"].gate.clear()
        answer = clients.submit(transcribe, client, "tiny.en")
        wait_for(str(client.base_url), decoding=1)
        leaving = clients.submit(client.post, "/v1/models/unload", json={"model": "tiny.en"})
        wait_for(str(client.base_url), models={"turbo": "loaded", "tiny.en": "unloading"})
        read_error(transcribe(client, "tiny.en"), 503)
        shelf.sessions["tiny.en"].gate.set()
        assert answer.result().status_code == 200
        assert leaving.result().json()["state"] == "unloaded"
        assert shelf.sessions["tiny.en"].is_closed


def test_routes_that_load_and_unload_are_there_when_they_are_asked_for() -> None:
    made, _ = make_transcriber()
    with serve_in_thread(made, ServerSettings()) as (url, _), httpx.Client(base_url=url, verify=False) as client:
        assert client.post("/v1/models/unload", json={"model": "turbo"}).status_code in (404, 405)
    with (
        serve_in_thread(made, ServerSettings(vad_filter=False, model_admin=True)) as (url, _),
        httpx.Client(base_url=url, verify=False) as client,
    ):
        # there is nobody who could open it again
        assert read_error(client.post("/v1/models/unload", json={"model": "turbo"}), 400)["param"] == "model"
    made.close()


def test_a_device_fault_of_any_model_is_told_and_ends_the_server() -> None:
    shelf = ModelShelf("turbo", "tiny.en")
    settings = ServerSettings(vad_filter=False)
    models = ModelRegistry.from_settings(shelf.sources, settings)
    models.preload("all")
    with serve_in_thread(models, settings) as (url, server), httpx.Client(base_url=url, verify=False) as client:
        shelf.sessions["tiny.en"].close()
        assert read_error(transcribe(client, "tiny.en"), 503)["code"] == "device_fault"
        assert models.device_error is not None
        for _ in range(1000):
            if server.should_exit or not server.started:
                break
            try:
                assert client.get("/health/ready").status_code == 503
            except httpx.TransportError:
                break
    models.close()


# --- idle -----------------------------------------------------------------------------------------


def test_an_idle_model_is_let_go_and_loaded_again_when_it_is_asked_for() -> None:
    shelf = ModelShelf("turbo")
    with serve_models(shelf, idle_unload_s=0.05) as client:
        wait_for(str(client.base_url), models={"turbo": "unloaded"})
        first = shelf.sessions["turbo"]
        assert first.is_closed
        assert transcribe(client).status_code == 200
        assert shelf.opened["turbo"] >= 2


def test_a_model_in_use_is_never_let_go() -> None:
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


def test_nothing_of_an_unloaded_model_stays_in_memory() -> None:
    async def scene() -> None:
        shelf = ModelShelf("turbo")
        models = ModelRegistry(shelf.sources)
        async with models.use(None) as held:
            gone = weakref.ref(held)
            del held
        await models.unload("turbo", timeout_s=TIMEOUT_S)
        gc.collect()
        assert gone() is None
        with pytest.raises(ModelUnavailable, match="unloaded by an operator"):
            async with models.use("turbo"):
                pass
        models.close()

    asyncio.run(scene())


def test_a_waiter_that_leaves_does_not_end_the_load_for_the_others() -> None:
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
