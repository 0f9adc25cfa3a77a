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
from neuron_whisper.server.models.names import ModelNames, served_names
from neuron_whisper.server.models.registry import Models, ModelSource
from neuron_whisper.transcriber import Transcriber
from tests.support.fake_session import FakeSession
from tests.support.servers import PATIENCE_S, TRANSCRIPTIONS, error_of, serving, tone, transcriber, wait_for


class Shelf:
    """Models that can be opened: how often each was, and the session of each that was opened last."""

    def __init__(self, *names: str) -> None:
        self.opened = dict.fromkeys(names, 0)
        self.sessions: dict[str, FakeSession] = {}
        self.may_open = threading.Event()
        self.may_open.set()
        self.refusal: Exception | None = None

    @property
    def sources(self) -> list[ModelSource]:
        return [ModelSource(names=served_names(name), open=self._opener(name)) for name in self.opened]

    def _opener(self, name: str) -> Callable[[], Transcriber]:
        def open_it() -> Transcriber:
            self.opened[name] += 1
            assert self.may_open.wait(PATIENCE_S)
            if self.refusal is not None:
                raise self.refusal
            made, self.sessions[name] = transcriber(name=name, is_multilingual=not name.endswith(".en"))
            return made

        return open_it


@contextmanager
def served(shelf: Shelf, **settings: object) -> Iterator[httpx.Client]:
    """A client of a server on the shelf's models."""
    chosen = ServerSettings(vad_filter=False, model_admin=True, **settings)  # type: ignore[arg-type]
    models = Models.configured(shelf.sources, chosen)
    try:
        models.preload(chosen.preload)
        with (
            serving(models, chosen) as (url, _),
            httpx.Client(base_url=url, timeout=PATIENCE_S, verify=False) as client,
        ):
            yield client
    finally:
        shelf.may_open.set()
        for session in shelf.sessions.values():
            session.gate.set()
        models.close()


def ask(client: httpx.Client, model: str | None = None) -> httpx.Response:
    return client.post(TRANSCRIPTIONS, files={"file": tone()}, data={} if model is None else {"model": model})


def states(client: httpx.Client) -> dict[str, str]:
    return {model["id"]: model["state"] for model in client.get("/v1/models").json()["data"]}


# --- names ----------------------------------------------------------------------------------------


def test_a_name_means_one_model_and_no_name_means_the_first() -> None:
    names = ModelNames([served_names("base"), served_names("someone/finetuned")])
    assert [names.meant(name) for name in (None, "whisper-1", "openai/whisper-base")] == ["base"] * 3
    assert names.meant("someone/finetuned") == "someone/finetuned"
    assert names.others("base") == ("openai/whisper-base", "whisper-1")
    with pytest.raises(UnknownModel, match="'tiny'; known here: base, someone/finetuned, openai/whisper-base,"):
        names.meant("tiny")


def test_a_second_artifact_of_one_model_goes_by_its_own_name() -> None:
    names = ModelNames([(*served_names("base"), "base-cpu-tp1-aa"), (*served_names("base"), "base-cpu-tp1-bb")])
    assert names.own == ("base", "openai/whisper-base")
    assert names.meant("base-cpu-tp1-bb") == "openai/whisper-base"


def test_aliases_go_before_names_that_models_bring_along() -> None:
    names = ModelNames(
        [served_names("base"), served_names("turbo")],
        aliases={"gpt-4o-transcribe": "large-v3-turbo", "whisper-1": "turbo"},
    )
    assert (names.meant("gpt-4o-transcribe"), names.meant("whisper-1"), names.meant(None)) == ("turbo", "turbo", "base")
    assert ModelNames([["a"], ["b"]], default="b").meant("whisper-1") == "b"


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
    with served(Shelf("turbo", "tiny.en"), aliases=("mine=tiny.en",)) as client:
        assert states(client) == {"turbo": "loaded", "tiny.en": "loaded"}
        assert ask(client, "mine").json() == ask(client, "tiny.en").json()
        assert ask(client).json() == ask(client, "whisper-1").json() == ask(client, "large-v3-turbo").json()
        error = error_of(ask(client, "base"), 404)
        assert (error["param"], error["code"]) == ("model", "model_not_found")
        assert "known here: turbo, tiny.en, large-v3-turbo" in error["message"]
        # only a multilingual model takes it
        german = {"files": {"file": tone()}, "data": {"model": "mine", "language": "de"}}
        assert error_of(client.post(TRANSCRIPTIONS, **german), 400)["param"] == "language"  # type: ignore[arg-type]


def test_the_list_tells_of_every_model_and_each_is_found_by_any_name() -> None:
    with served(Shelf("turbo", "tiny.en"), preload="default", aliases=("mine=tiny.en",)) as client:
        turbo, tiny = client.get("/v1/models").json()["data"]
        assert (turbo["id"], turbo["object"], turbo["default"], turbo["state"]) == ("turbo", "model", True, "loaded")
        assert (tiny["id"], tiny["default"], tiny["state"]) == ("tiny.en", False, "unloaded")
        assert tiny["aliases"] == ["openai/whisper-tiny.en", "mine"]
        assert client.get("/v1/models/mine").json() == client.get("/v1/models/openai/whisper-tiny.en").json() == tiny
        health = client.get("/health/ready").json()
        assert (health["status"], health["models"]) == ("ready", {"turbo": "loaded", "tiny.en": "unloaded"})


def test_requests_for_a_model_that_is_not_loaded_load_it_once() -> None:
    shelf = Shelf("turbo", "tiny.en")
    with served(shelf, preload="none") as client, ThreadPoolExecutor() as clients:
        shelf.may_open.clear()
        first, second = (clients.submit(ask, client, "tiny.en") for _ in range(2))
        wait_for(str(client.base_url), models={"turbo": "unloaded", "tiny.en": "loading"}, requests=2)
        startup = client.get("/health/startup")
        assert (startup.status_code, startup.json()) == (503, {"status": "loading"})
        shelf.may_open.set()
        assert first.result().status_code == second.result().status_code == 200
        assert shelf.opened == {"turbo": 0, "tiny.en": 1}
        assert client.get("/health/startup").json() == {"status": "started"}


def test_a_load_that_fails_is_told_to_all_who_wait_and_not_tried_at_once_again() -> None:
    shelf = Shelf("turbo", "tiny.en")
    with served(shelf, preload="default") as client, ThreadPoolExecutor() as clients:
        shelf.refusal = ArtifactCorrupt("/secret/graphs.bin", expected="this", found="that")
        shelf.may_open.clear()
        waiting = [clients.submit(ask, client, "tiny.en") for _ in range(3)]
        wait_for(str(client.base_url), requests=3)
        shelf.may_open.set()
        for answer in (*(it.result() for it in waiting), ask(client, "tiny.en")):
            error = error_of(answer, 503)
            assert error["code"] == "model_unavailable"
            assert error["message"] == "model 'tiny.en' is not available now: it could not be loaded"
            assert int(answer.headers["retry-after"]) >= 1
        assert shelf.opened["tiny.en"] == 1
        assert states(client) == {"turbo": "loaded", "tiny.en": "failed"}
        assert ask(client).status_code == 200
        shelf.refusal = None
        assert client.post("/v1/models/load", json={"model": "tiny.en"}).json()["state"] == "loaded"
        assert ask(client, "tiny.en").status_code == 200


def test_garbage_loads_no_model() -> None:
    shelf = Shelf("turbo")
    with served(shelf, preload="none") as client:
        error_of(client.post(TRANSCRIPTIONS, files={"file": b"no sound"}), 400)
        assert shelf.opened == {"turbo": 0}


def test_a_model_unloaded_by_hand_serves_again_when_it_is_loaded_by_hand() -> None:
    with served(Shelf("turbo", "tiny.en")) as client:
        told = client.post("/v1/models/unload", json={"model": "tiny.en"}).json()
        assert (told["state"], told["available"]) == ("unloaded", False)
        assert error_of(ask(client, "tiny.en"), 503)["code"] == "model_unavailable"
        assert ask(client).status_code == 200
        told = client.post("/v1/models/load", json={"model": "tiny.en"}).json()
        assert (told["state"], told["available"]) == ("loaded", True)
        assert ask(client, "tiny.en").status_code == 200
        error_of(client.post("/v1/models/load", json={"model": "nobody"}), 404)
        error_of(client.post("/v1/models/load", json={"modle": "turbo"}), 400)


def test_unloading_by_hand_lets_requests_finish() -> None:
    shelf = Shelf("turbo", "tiny.en")
    with served(shelf) as client, ThreadPoolExecutor() as clients:
        shelf.sessions["tiny.en"].gate.clear()
        answer = clients.submit(ask, client, "tiny.en")
        wait_for(str(client.base_url), decoding=1)
        leaving = clients.submit(client.post, "/v1/models/unload", json={"model": "tiny.en"})
        wait_for(str(client.base_url), models={"turbo": "loaded", "tiny.en": "unloading"})
        error_of(ask(client, "tiny.en"), 503)
        shelf.sessions["tiny.en"].gate.set()
        assert answer.result().status_code == 200
        assert leaving.result().json()["state"] == "unloaded"
        assert shelf.sessions["tiny.en"].is_closed


def test_routes_that_load_and_unload_are_there_when_they_are_asked_for() -> None:
    made, _ = transcriber()
    with serving(made, ServerSettings()) as (url, _), httpx.Client(base_url=url, verify=False) as client:
        assert client.post("/v1/models/unload", json={"model": "turbo"}).status_code in (404, 405)
    with (
        serving(made, ServerSettings(vad_filter=False, model_admin=True)) as (url, _),
        httpx.Client(base_url=url, verify=False) as client,
    ):
        # there is nobody who could open it again
        assert error_of(client.post("/v1/models/unload", json={"model": "turbo"}), 400)["param"] == "model"
    made.close()


def test_a_device_fault_of_any_model_is_told_and_ends_the_server() -> None:
    shelf = Shelf("turbo", "tiny.en")
    settings = ServerSettings(vad_filter=False)
    models = Models.configured(shelf.sources, settings)
    models.preload("all")
    with serving(models, settings) as (url, server), httpx.Client(base_url=url, verify=False) as client:
        shelf.sessions["tiny.en"].close()
        assert error_of(ask(client, "tiny.en"), 503)["code"] == "device_fault"
        assert models.fault is not None
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
    shelf = Shelf("turbo")
    with served(shelf, idle_unload_s=0.05) as client:
        wait_for(str(client.base_url), models={"turbo": "unloaded"})
        first = shelf.sessions["turbo"]
        assert first.is_closed
        assert ask(client).status_code == 200
        assert shelf.opened["turbo"] >= 2


def test_a_model_in_use_is_never_let_go() -> None:
    async def scene() -> None:
        shelf = Shelf("turbo")
        models = Models(shelf.sources, idle_unload_s=0.01)
        watching = asyncio.ensure_future(models.watch_idle())
        async with models.using(None) as held:
            shelf.sessions["turbo"].gate.clear()
            await asyncio.sleep(0.1)  # ten times as long as it may be idle
            assert models.default.transcriber is held
            async with models.using("turbo") as again:
                assert again is held
        while models.default.state != "unloaded":
            await asyncio.sleep(0.01)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        models.close()

    asyncio.run(scene())


def test_nothing_of_an_unloaded_model_stays_in_memory() -> None:
    async def scene() -> None:
        shelf = Shelf("turbo")
        models = Models(shelf.sources)
        async with models.using(None) as held:
            gone = weakref.ref(held)
            del held
        await models.unload("turbo", within_s=PATIENCE_S)
        gc.collect()
        assert gone() is None
        with pytest.raises(ModelUnavailable, match="taken out of service"):
            async with models.using("turbo"):
                pass
        models.close()

    asyncio.run(scene())


def test_a_waiter_that_leaves_does_not_end_the_load_for_the_others() -> None:
    async def scene() -> None:
        shelf = Shelf("turbo")
        shelf.may_open.clear()
        models = Models(shelf.sources)

        async def use() -> str:
            async with models.using(None) as held:
                return held.name

        first, second = asyncio.ensure_future(use()), asyncio.ensure_future(use())
        await asyncio.sleep(0.01)
        first.cancel()
        shelf.may_open.set()
        assert await second == "turbo"
        assert shelf.opened == {"turbo": 1}
        models.close()

    asyncio.run(scene())
