"""The routes of models."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from neuron_whisper.server import ServerSettings
from neuron_whisper.server.models.registry import ModelRegistry
from tests.support.audio_files import encode_two_tracks
from tests.support.model_shelf import ModelShelf, read_states, serve_models, transcribe
from tests.support.servers import (
    TRANSCRIPTIONS,
    make_transcriber,
    read_error,
    run_server,
    serve_in_thread,
    tone,
    wait_for,
)


def test_a_request_gets_the_model_that_it_names() -> None:
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


def test_the_track_of_the_models_only_language_is_taken_before_the_model_is_loaded() -> None:
    with serve_models(ModelShelf("turbo", "tiny.en"), preload="default") as client:
        assert read_states(client)["tiny.en"] == "unloaded"
        for model, track in (("tiny.en", 1), ("turbo", 0), ("tiny.en", 1)):
            response = client.post(TRANSCRIPTIONS, files={"file": encode_two_tracks()}, data={"model": model})
            assert f"track {track} was taken, audio_track chooses another" in response.json()["warnings"][0]


def test_every_model_is_listed_and_found_by_any_name() -> None:
    with serve_models(ModelShelf("turbo", "tiny.en"), preload="default", aliases=("mine=tiny.en",)) as client:
        turbo, tiny = client.get("/v1/models").json()["data"]
        assert (turbo["id"], turbo["object"], turbo["default"], turbo["state"]) == ("turbo", "model", True, "loaded")
        assert (tiny["id"], tiny["default"], tiny["state"]) == ("tiny.en", False, "unloaded")
        assert tiny["aliases"] == ["openai/whisper-tiny.en", "mine"]
        assert client.get("/v1/models/mine").json() == client.get("/v1/models/openai/whisper-tiny.en").json() == tiny
        health = client.get("/health/ready").json()
        assert (health["status"], health["models"]) == ("ready", {"turbo": "loaded", "tiny.en": "unloaded"})


def test_an_unloaded_model_serves_again_after_load() -> None:
    with serve_models(ModelShelf("turbo", "tiny.en")) as client:
        answer = client.post("/v1/models/unload", json={"model": "tiny.en"}).json()
        assert (answer["state"], answer["available"]) == ("unloaded", False)
        assert read_error(transcribe(client, "tiny.en"), 503)["code"] == "model_unavailable"
        assert transcribe(client).status_code == 200
        answer = client.post("/v1/models/load", json={"model": "tiny.en"}).json()
        assert (answer["state"], answer["available"]) == ("loaded", True)
        assert transcribe(client, "tiny.en").status_code == 200
        read_error(client.post("/v1/models/load", json={"model": "unknown"}), 404)
        read_error(client.post("/v1/models/load", json={"modle": "turbo"}), 400)


def test_unload_waits_for_requests_in_flight() -> None:
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


def test_admin_routes_exist_with_model_admin_only() -> None:
    made, _ = make_transcriber()
    with serve_in_thread(made, ServerSettings()) as (url, _), httpx.Client(base_url=url, verify=False) as client:
        assert client.post("/v1/models/unload", json={"model": "turbo"}).status_code in (404, 405)
    with (
        serve_in_thread(made, ServerSettings(vad_filter=False, model_admin=True)) as (url, _),
        httpx.Client(base_url=url, verify=False) as client,
    ):
        # it cannot be opened again
        assert read_error(client.post("/v1/models/unload", json={"model": "turbo"}), 400)["param"] == "model"
    made.close()


def test_a_large_body_without_audio_is_refused() -> None:
    with run_server(ServerSettings(vad_filter=False, model_admin=True)) as server, server.client() as client:
        error = read_error(client.post("/v1/models/load", json={"model": "x" * 70_000}), 413)
        assert error["type"] == "invalid_request_error"
        assert client.post("/v1/models/load", json={"model": "whisper-1"}).status_code == 200


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"model": 3}', b'{"modl": "a"}', b"[" * 5_000, b"", b"\xff"])
def test_a_wrong_body_is_a_clients_error(body: bytes) -> None:
    with run_server(ServerSettings(vad_filter=False, model_admin=True)) as server, server.client() as client:
        headers = {"content-type": "application/json"}
        message = read_error(client.post("/v1/models/load", content=body, headers=headers), 400)["message"]
    assert "Error" not in message
    assert "Exception" not in message


def test_a_device_error_of_any_model_is_reported_and_ends_the_server() -> None:
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
