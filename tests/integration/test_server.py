"""The server over the wire: what it refuses and how, and that one client harms no other."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from litestar.types import Scope

from neuron_whisper.errors import (
    InvalidOption,
)
from neuron_whisper.server import ServerSettings
from neuron_whisper.server.http.api_keys import Client
from neuron_whisper.server.http.middleware import RequestGateway
from tests.support.audio_files import encode_two_tracks
from tests.support.servers import TRANSCRIPTIONS, RunningServer, read_error, run_server, tone

FORM = {"content-type": "multipart/form-data; boundary=edge"}
SMALL = 64 * 1024


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with run_server() as made:
        yield made


@pytest.fixture(scope="module")
def small() -> Iterator[RunningServer]:
    """A server which takes little."""
    settings = ServerSettings(max_upload_bytes=SMALL, max_audio_s=3.0, vad_filter=False)
    with run_server(settings, is_multilingual=False) as made:
        yield made


def raw_part(headers: str, content: bytes) -> bytes:
    return f"--edge\r\n{headers}\r\n\r\n".encode() + content + b"\r\n"


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "why"), [(b"", "empty"), (b"hello, world\n" * 40, "not audio"), (tone()[:44], "no samples")]
)
def test_an_upload_without_audio_is_unreadable(server: RunningServer, content: bytes, why: str) -> None:
    with server.client() as client:
        error = read_error(client.post(TRANSCRIPTIONS, files={"file": ("a.wav", content)}), 400)
    assert (error["param"], error["code"]) == ("file", "audio_unreadable"), why


def test_an_unknown_field_is_named_with_close_matches(server: RunningServer) -> None:
    error = read_error(server.post(beamsize="5"), 400)
    assert error["param"] == "beamsize"
    assert error["message"] == "beamsize: unknown field; did you mean beam_size?"
    assert read_error(server.post(colour="red"), 400)["message"] == "colour: unknown field"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("language", "xx"),
        ("temperature", "1.5"),
        ("temperature", "nan"),
        ("temperature", "warm"),
        ("response_format", "docx"),
        ("response_format", "tsv"),
        ("stream", "maybe"),
        ("prompt", "p" * 70_000),
        ("clip_timestamps", "3600"),  # behind the end of the audio
        ("model[]", "base"),
        ("", "nothing"),
    ],
)
def test_an_invalid_value_is_rejected_with_its_field(server: RunningServer, field: str, value: str) -> None:
    error = read_error(server.post(None, TRANSCRIPTIONS, **{field: value}), 400)
    assert error["param"] == (field.removesuffix("[]") or "(unnamed field)")
    assert len(error["message"]) < 400


def test_a_field_sent_twice_is_rejected(server: RunningServer) -> None:
    with server.client() as client:
        fields = {"language": ["en", "de"]}
        assert read_error(client.post(TRANSCRIPTIONS, files={"file": tone()}, data=fields), 400)["param"] == "language"


def test_an_english_model_rejects_other_languages(small: RunningServer) -> None:
    assert read_error(small.post(tone(seconds=0.2), language="de"), 400)["param"] == "language"
    assert small.post(tone(seconds=0.2), language="en").status_code == 200


# --- limits ---------------------------------------------------------------------------------------


def test_audio_above_the_limit_is_rejected(small: RunningServer) -> None:
    assert read_error(small.post(tone(seconds=3.5, rate=8000)), 413)["code"] == "audio_too_long"
    assert small.post(tone(seconds=2.5, rate=8000)).status_code == 200


def test_a_full_queue_rejects_with_a_time_to_retry() -> None:
    with run_server(slots=1, queue_limit=1) as server, ThreadPoolExecutor() as clients:
        server.session.gate.clear()
        first = clients.submit(server.post)
        server.wait_for(decoding=1)
        second = clients.submit(server.post)
        server.wait_for(waiting=1)
        refused = server.post()
        assert read_error(refused, 503)["code"] == "queue_full"
        assert int(refused.headers["retry-after"]) >= 1
        server.session.gate.set()
        assert first.result().status_code == second.result().status_code == 200


def test_a_request_above_the_time_limit_gets_504_and_frees_its_slot() -> None:
    with run_server(ServerSettings(request_timeout_s=0.3, vad_filter=False)) as server:
        server.session.gate.clear()
        assert read_error(server.post(), 504)["message"] == "not done within 0.3 seconds"
        server.session.gate.set()
        server.wait_for(decoding=0, waiting=0, requests=0)


def test_invalid_settings_are_rejected() -> None:
    for field, value in (("port", 70_000), ("max_upload_bytes", 0), ("drain_s", -1.0), ("host", "")):
        with pytest.raises(InvalidOption, match=f"^{field}: "):
            ServerSettings(**{field: value})  # type: ignore[arg-type]


# --- clients beside each other --------------------------------------------------------------------


def test_concurrent_clients_get_the_text_of_their_own_clip(server: RunningServer) -> None:
    clips = [tone(200 + 150 * n, 0.4) for n in range(8)]
    alone = [server.post(clip, response_format="verbose_json").json() for clip in clips]
    assert len({str(answer["segments"]) for answer in alone}) == 8
    with ThreadPoolExecutor(8) as clients:
        together = list(clients.map(lambda clip: server.post(clip, response_format="verbose_json").json(), clips))
    assert together == alone


def test_a_disconnect_frees_the_slot() -> None:
    with run_server(slots=1) as server:
        server.session.gate.clear()
        body = raw_part('Content-Disposition: form-data; name="file"; filename="a"', tone()) + b"--edge--\r\n"
        head = (
            f"POST {TRANSCRIPTIONS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM['content-type']}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection(server.address) as leaving:
            leaving.sendall(head.encode() + body)
            server.wait_for(decoding=1, requests=1)
        server.wait_for(requests=0)
        server.session.gate.set()
        server.wait_for(decoding=0)
        assert server.transcriber.status.completed == 0
        assert server.post().status_code == 200


def test_a_disconnect_during_the_upload_leaves_the_server_usable(server: RunningServer) -> None:
    with socket.create_connection(server.address) as leaving:
        head = f"POST {TRANSCRIPTIONS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM['content-type']}\r\n"
        part = raw_part('Content-Disposition: form-data; name="file"; filename="a"', b"RIFF")
        leaving.sendall(f"{head}Content-Length: 9999999\r\n\r\n".encode() + part)
        server.wait_for(requests=1)
    server.wait_for(requests=0)
    assert server.post().status_code == 200


# --- addresses behind a proxy ---------------------------------------------------------------------


def read_client(settings: ServerSettings, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the clients of two requests that claim another address."""
    clients: list[str] = []
    authenticate = RequestGateway.authenticate

    def note_client(gateway: RequestGateway, scope: Scope) -> Client:
        client = authenticate(gateway, scope)
        clients.append(client.id)
        return client

    monkeypatch.setattr(RequestGateway, "authenticate", note_client)
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")  # uvicorn's own variable
    with run_server(settings) as server, server.client() as client:
        for forwarded in ("203.0.113.7", "198.51.100.1, 203.0.113.8"):
            client.get("/v1/models", headers={"x-forwarded-for": forwarded})
    return clients


def test_a_forwarded_address_is_not_believed_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_client(ServerSettings(vad_filter=False), monkeypatch) == ["127.0.0.1"] * 2
    others = ServerSettings(vad_filter=False, forwarded_allow_ips=("10.0.0.0/8",))
    assert read_client(others, monkeypatch) == ["127.0.0.1"] * 2


@pytest.mark.parametrize("proxies", [("127.0.0.1",), ("10.0.0.1", "127.0.0.0/8")])
def test_the_last_address_of_a_trusted_proxy_is_the_clients(
    proxies: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ServerSettings(vad_filter=False, forwarded_allow_ips=proxies)
    assert read_client(settings, monkeypatch) == ["203.0.113.7", "203.0.113.8"]


def test_a_star_believes_every_client(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ServerSettings(vad_filter=False, forwarded_allow_ips=("10.0.0.1", "*"))
    assert read_client(settings, monkeypatch) == ["203.0.113.7", "198.51.100.1"]


def test_the_asked_track_of_a_file_is_transcribed_and_one_that_is_not_there_is_refused(server: RunningServer) -> None:
    two = encode_two_tracks()
    told = "the file has 2 audio tracks: 0 (ger), 1 (eng); track 1 was taken, audio_track chooses another"
    answer = server.post(two, audio_track="1", response_format="verbose_json").json()
    assert not any("audio tracks" in warning for warning in answer.get("warnings", ()))
    assert told in server.post(two, language="en", response_format="verbose_json").json()["warnings"]
    assert read_error(server.post(two, audio_track="2"), 400)["param"] == "audio_track"
