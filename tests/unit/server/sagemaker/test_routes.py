"""The contract of SageMaker's containers over the wire."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from neuron_whisper.server import ServerSettings
from neuron_whisper.server.http.api_keys import create_key, write_keys
from neuron_whisper.server.models.registry import ModelRegistry, ModelSource
from neuron_whisper.transcriber import Transcriber
from tests.support.servers import (
    TIMEOUT_S,
    RunningServer,
    make_transcriber,
    read_error,
    run_server,
    serve_in_thread,
    tone,
)
from tests.unit.server.audio.test_routes import parse_events

WAV = {"content-type": "audio/wav"}
SETTINGS = ServerSettings(vad_filter=False, compat="sagemaker")


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with run_server(SETTINGS) as running:
        yield running


def invoke(
    server: RunningServer, body: bytes | None = None, kind: str = "audio/wav", attributes: str = "", **headers: str
) -> httpx.Response:
    sent = {"content-type": kind, "x-amzn-sagemaker-custom-attributes": attributes, **headers}
    with server.client() as client:
        return client.post("/invocations", content=tone() if body is None else body, headers=sent)


@pytest.fixture(scope="module")
def text(server: RunningServer) -> str:
    """What the audio API answers."""
    found = server.post(tone()).json()["text"]
    assert found
    assert isinstance(found, str)
    return found


def test_ping_answers_200_while_it_is_ready_and_503_while_it_drains() -> None:
    with run_server(SETTINGS) as server, server.client() as client:
        assert (client.get("/ping").status_code, client.get("/ping").json()) == (200, {"status": "ready"})
        assert client.head("/ping").status_code == 200
        server.server._server_state.drain_started.set()
        assert (client.get("/ping").status_code, client.get("/ping").json()) == (503, {"status": "draining"})


def test_ping_answers_503_while_the_first_model_loads() -> None:
    transcriber, _ = make_transcriber()
    may_open = threading.Event()

    def open_late() -> Transcriber:
        may_open.wait(TIMEOUT_S)
        return transcriber

    models = ModelRegistry([ModelSource(names=("turbo",), open=open_late)])
    with serve_in_thread(models, SETTINGS) as (url, _), httpx.Client(base_url=url, verify=False) as client:
        asking = threading.Thread(target=lambda: httpx.post(f"{url}/invocations", content=tone(), headers=WAV))
        asking.start()
        while client.get("/health/startup").status_code == 200:
            pass
        loading = client.get("/ping")
        may_open.set()
        asking.join()
        assert (loading.status_code, loading.json()) == (503, {"status": "loading"})
        assert client.get("/ping").status_code == 200
    models.close()


@pytest.mark.parametrize(
    "kind",
    ["audio/wav", "audio/x-audio", "audio/mpeg", "audio/x-flac; rate=16000", "video/mp4", "application/octet-stream"],
)
def test_a_file_is_a_whole_body(server: RunningServer, text: str, kind: str) -> None:
    answer = invoke(server, kind=kind)
    assert (answer.status_code, answer.json()["text"]) == (200, text)


def test_a_file_comes_in_json_or_in_a_form_with_the_fields_of_the_audio_api(server: RunningServer) -> None:
    german = server.post(tone(), language="de").json()["text"]
    encoded = base64.b64encode(tone()).decode()
    for document in (
        {"inputs": encoded, "parameters": {"language": "de", "task": "transcribe"}},
        {"audio_input": tone().hex(), "language": "german"},
    ):
        answer = invoke(server, json.dumps(document).encode(), "application/json")
        assert (answer.status_code, answer.json()["text"]) == (200, german)
    with server.client() as client:
        form = client.post("/invocations", files={"file": ("a.wav", tone())}, data={"task": "translate"})
    assert form.json() == server.post(tone(), path="/v1/audio/translations").json()


def test_fields_come_in_the_attributes_and_the_format_in_accept(server: RunningServer, text: str) -> None:
    german = server.post(tone(), language="de", response_format="text").text
    assert invoke(server, attributes="response_format=text;language=de").text == german
    verbose = invoke(server, attributes='{"response_format": "verbose_json", "task": "translate"}').json()
    assert verbose["task"] == "translate"
    assert invoke(server, attributes="6f3a-my-trace").json()["text"] == text
    assert invoke(server, accept="text/vtt").text.startswith("WEBVTT")
    assert invoke(server, accept="*/*").json()["text"] == text
    assert invoke(server, accept="text/plain", attributes="response_format=json").json()["text"] == text


def test_a_stream_is_sent_by_invoke_endpoint_with_response_stream(server: RunningServer, text: str) -> None:
    answer = invoke(server, attributes="stream=true")
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert parse_events(answer.text)[-1]["text"] == text


@pytest.mark.parametrize(
    ("kind", "body", "attributes", "status", "param", "code"),
    [
        ("text/csv", b"a,b", "", 415, None, "unsupported_media_type"),
        ("", b"RIFF", "", 415, None, "unsupported_media_type"),
        ("audio/wav", b"no sound", "", 400, "file", "audio_unreadable"),
        ("audio/wav", b"", "", 400, "file", "audio_unreadable"),
        ("audio/wav", None, "beamsize=5", 400, "beamsize", "invalid_value"),
        ("audio/wav", None, "language=xx", 400, "language", "invalid_value"),
        ("audio/wav", None, "task=sing", 400, "task", "invalid_value"),
        ("audio/wav", None, "file=a.wav", 400, "file", "invalid_value"),
        ("application/json", b'{"inputs": "UklGRg==", "parameters": {"file": "x"}}', "", 400, "file", "invalid_value"),
        ("audio/wav", None, "model=unknown", 404, "model", "model_not_found"),
        ("audio/wav", None, "language=de;language=en", 400, "language", "invalid_value"),
        ("application/json", b"{}", "", 400, "inputs", "invalid_value"),
        ("application/json", b'{"inputs": "UklGRg==", "top_n": 1}', "", 400, "top_n", "invalid_value"),
        ("multipart/form-data", b"no boundary", "", 400, None, None),
    ],
)  # fmt: skip
def test_errors_are_json_with_their_field(
    server: RunningServer,
    kind: str,
    body: bytes | None,
    attributes: str,
    status: int,
    param: str | None,
    code: str | None,
) -> None:
    error = read_error(invoke(server, body, kind, attributes), status)
    assert (error["param"], error["code"]) == (param, code)


def test_the_limit_of_an_upload_holds_for_a_body_and_for_what_json_holds() -> None:
    settings = ServerSettings(vad_filter=False, compat="sagemaker", max_upload_bytes=1000)
    encoded = json.dumps({"inputs": base64.b64encode(tone()).decode()}).encode()
    with run_server(settings) as server:
        for kind, body in (("audio/wav", tone()), ("application/json", encoded)):
            assert read_error(invoke(server, body, kind), 413)["code"] == "audio_too_large"
        error = read_error(invoke(server, b"{" + b" " * (2 << 20) + b"}", "application/json"), 413)
        assert "the JSON (send the file itself, as audio/wav) is larger than the limit" in error["message"]


def test_large_bodies_of_json_from_many_clients_are_each_read(server: RunningServer) -> None:
    audio = tone(seconds=40.0)  # 1.3 MB, more than is kept in memory
    body = json.dumps({"inputs": base64.b64encode(audio).decode()}).encode()
    with ThreadPoolExecutor(6) as clients:
        answers = list(clients.map(lambda _: invoke(server, body, "application/json"), range(6)))
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["text"] for answer in answers} == {invoke(server, audio).json()["text"]}


def test_the_time_limit_gives_504_before_sagemaker_gives_up() -> None:
    settings = ServerSettings(vad_filter=False, compat="sagemaker", request_timeout_s=0.3)
    with run_server(settings) as server:
        server.session.gate = threading.Event()
        try:
            assert read_error(invoke(server), 504)["code"] == "deadline_exceeded"
        finally:
            server.session.gate.set()


def test_with_keys_invocations_need_one_and_ping_needs_none(tmp_path: Path) -> None:
    key, stored = create_key("mine", ("user",), created="2026-11-27", max_requests=None)
    write_keys(tmp_path / "keys.json", [stored])
    with run_server(ServerSettings(vad_filter=False, compat="sagemaker", keys_file=tmp_path / "keys.json")) as server:
        read_error(invoke(server), 401)
        assert invoke(server, authorization=f"Bearer {key}").status_code == 200
        with server.client() as client:
            assert client.get("/ping").status_code == 200


def test_the_routes_are_there_with_the_setting_alone() -> None:
    with run_server(ServerSettings(vad_filter=False)) as server, server.client() as client:
        assert client.get("/ping").status_code == 404
        read_error(invoke(server), 404)
