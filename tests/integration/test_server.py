"""The server over the wire: what it refuses and how, and that one client harms no other."""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from litestar import Litestar
from litestar.testing import RequestFactory

from neuron_whisper.errors import (
    ArtifactCorrupt,
    AudioTooLarge,
    AudioTooLong,
    AudioUnreadable,
    CapacityError,
    DeadlineExceeded,
    DeviceError,
    EngineDraining,
    InvalidOption,
    QueueFull,
    UnknownModel,
)
from neuron_whisper.server import ServerSettings
from neuron_whisper.server.http.errors import handle_exception
from neuron_whisper.server.models.names import list_served_names
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


def test_a_form_without_a_file_is_told_so(server: RunningServer) -> None:
    with server.client() as client:
        error = read_error(client.post(TRANSCRIPTIONS, files={"model": (None, "whisper-1")}), 400)
    assert error["param"] == "file"


@pytest.mark.parametrize(
    ("content", "why"), [(b"", "empty"), (b"hello, world\n" * 40, "not audio"), (tone()[:44], "no samples")]
)
def test_an_upload_without_audio_is_unreadable(server: RunningServer, content: bytes, why: str) -> None:
    with server.client() as client:
        error = read_error(client.post(TRANSCRIPTIONS, files={"file": ("a.wav", content)}), 400)
    assert (error["param"], error["code"]) == ("file", "audio_unreadable"), why


def test_a_field_nobody_knows_is_named_with_those_that_it_may_be_meant_for(server: RunningServer) -> None:
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
        ("model[]", "base"),
        ("", "nothing"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_with_its_field(server: RunningServer, field: str, value: str) -> None:
    error = read_error(server.post(None, TRANSCRIPTIONS, **{field: value}), 400)
    assert error["param"] == (field.removesuffix("[]") or "(unnamed field)")
    assert len(error["message"]) < 400


def test_a_field_given_twice_is_refused(server: RunningServer) -> None:
    with server.client() as client:
        fields = {"language": ["en", "de"]}
        assert read_error(client.post(TRANSCRIPTIONS, files={"file": tone()}, data=fields), 400)["param"] == "language"


def test_an_english_model_refuses_another_language(small: RunningServer) -> None:
    assert read_error(small.post(tone(seconds=0.2), language="de"), 400)["param"] == "language"
    assert small.post(tone(seconds=0.2), language="en").status_code == 200


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"content-type": "application/json"}, b"{}"),
        ({"content-type": "multipart/form-data"}, b"--edge--"),
        ({"content-type": "application/x-www-form-urlencoded"}, b"model=base"),
        ({}, b""),
        (FORM, b""),
        (FORM, b"garbage"),
        (FORM, raw_part('Content-Disposition: form-data; name="file"; filename="a"', b"cut off")),
        (FORM, b"--edge\r\nContent-Disposition: attachment\r\n\r\nx\r\n--edge--\r\n"),
        (FORM, raw_part('Content-Disposition: form-data; name="model"', b"\xff\xfe") + b"--edge--\r\n"),
        (FORM, raw_part('Content-Disposition: form-data; name="model"', b"x") * 100 + b"--edge--\r\n"),
    ],
)
def test_a_body_that_is_no_form_is_the_callers_error(
    server: RunningServer, headers: dict[str, str], body: bytes
) -> None:
    with server.client() as client:
        read_error(client.post(TRANSCRIPTIONS, headers=headers, content=body), 400)


@pytest.mark.parametrize(
    "disposition",
    [
        'form-data; name="file"; filename="録音 №1 \U0001f3a4.wav"',
        'form-data; name="file"; filename=""',
        'form-data; name="file"',
        'form-data; name="file"; filename="../../etc/passwd"',
        'form-data; name="file"; filename="' + "n" * 3000 + '"',
    ],
)
def test_the_name_of_a_file_decides_nothing(server: RunningServer, disposition: str) -> None:
    with server.client() as client:
        good = raw_part(f"Content-Disposition: {disposition}", tone()) + b"--edge--\r\n"
        assert client.post(TRANSCRIPTIONS, headers=FORM, content=good).json()["text"] == server.post().json()["text"]
        bad = raw_part(f"Content-Disposition: {disposition}", b"no sound") + b"--edge--\r\n"
        message = read_error(client.post(TRANSCRIPTIONS, headers=FORM, content=bad), 400)["message"]
    assert "/" not in message.split(": ")[0]
    assert len(message) < 300


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("POST", "/", 405),
        ("GET", TRANSCRIPTIONS, 405),
        ("GET", "/v1/models/x/y", 404),
    ],
)
def test_routes_that_are_not_there_answer_in_the_same_shape(
    server: RunningServer, method: str, path: str, status: int
) -> None:
    with server.client() as client:
        read_error(client.request(method, path), status)


# --- limits ---------------------------------------------------------------------------------------


def test_an_upload_over_the_limit_is_refused_by_its_announced_length(small: RunningServer) -> None:
    with small.client() as client:
        response = client.post(TRANSCRIPTIONS, files={"file": bytes(40 * 1024 * 1024)})
    assert read_error(response, 413)["message"] == "request: the upload is larger than the limit of 65,536 bytes"


def test_an_upload_over_the_limit_is_refused_without_an_announced_length(small: RunningServer) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        for _ in range(100):
            yield bytes(1024 * 1024)

    with small.client() as client:
        error = read_error(client.post(TRANSCRIPTIONS, headers=FORM, content=pieces()), 413)
    assert (error["param"], error["code"]) == ("file", "audio_too_large")


def test_audio_over_the_limit_of_seconds_is_refused(small: RunningServer) -> None:
    assert read_error(small.post(tone(seconds=3.5, rate=8000)), 413)["code"] == "audio_too_long"
    assert small.post(tone(seconds=2.5, rate=8000)).status_code == 200


def test_more_windows_than_may_wait_are_refused_with_a_time_to_come_back() -> None:
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


def test_a_request_that_takes_too_long_is_answered_and_frees_its_slot() -> None:
    with run_server(ServerSettings(request_timeout_s=0.3, vad_filter=False)) as server:
        server.session.gate.clear()
        assert read_error(server.post(), 504)["message"] == "not done within 0.3 seconds"
        server.session.gate.set()
        server.wait_for(decoding=0, waiting=0, requests=0)


def test_settings_that_cannot_be_are_refused_where_they_are_made() -> None:
    for field, value in (("port", 70_000), ("max_upload_bytes", 0), ("drain_s", -1.0), ("host", "")):
        with pytest.raises(InvalidOption, match=f"^{field}: "):
            ServerSettings(**{field: value})  # type: ignore[arg-type]


# --- clients beside each other --------------------------------------------------------------------


def test_eight_clients_at_once_each_get_the_text_of_their_own_clip(server: RunningServer) -> None:
    clips = [tone(200 + 150 * n, 0.4) for n in range(8)]
    alone = [server.post(clip, response_format="verbose_json").json() for clip in clips]
    assert len({str(answer["segments"]) for answer in alone}) == 8
    with ThreadPoolExecutor(8) as clients:
        together = list(clients.map(lambda clip: server.post(clip, response_format="verbose_json").json(), clips))
    assert together == alone


def test_a_client_that_goes_away_frees_its_slot_for_the_next() -> None:
    with run_server(slots=1) as server:
        server.session.gate.clear()
        body = raw_part('Content-Disposition: form-data; name="file"; filename="a"', tone()) + b"--edge--\r\n"
        head = (
            f"POST {TRANSCRIPTIONS} HTTP/1.1\r\nHost: here\r\nContent-Type: {FORM['content-type']}\r\n"
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


def test_a_client_that_goes_away_while_it_uploads_harms_nobody(server: RunningServer) -> None:
    with socket.create_connection(server.address) as leaving:
        head = f"POST {TRANSCRIPTIONS} HTTP/1.1\r\nHost: here\r\nContent-Type: {FORM['content-type']}\r\n"
        part = raw_part('Content-Disposition: form-data; name="file"; filename="a"', b"RIFF")
        leaving.sendall(f"{head}Content-Length: 9999999\r\n\r\n".encode() + part)
        server.wait_for(requests=1)
    server.wait_for(requests=0)
    assert server.post().status_code == 200


# --- what else it tells ---------------------------------------------------------------------------


def test_a_ready_server_says_what_it_serves_and_does(server: RunningServer) -> None:
    with server.client() as client:
        assert client.get("/health/live").json() == {"status": "alive"}
        ready = client.get("/health/ready")
    assert ready.status_code == 200
    assert ready.json() == {
        "status": "ready",
        "model": "turbo",
        "models": {"turbo": "loaded"},
        "waiting": 0,
        "decoding": 0,
        "requests": 0,
    }


@pytest.mark.parametrize(
    ("model", "names"),
    [
        ("base", ("base", "openai/whisper-base", "whisper-1")),
        ("openai/whisper-base@main", ("openai/whisper-base@main", "base", "openai/whisper-base", "whisper-1")),
        ("someone/finetuned", ("someone/finetuned", "whisper-1")),
        ("/home/me/models/mine.pt", ("mine.pt", "whisper-1")),
        ("./base", ("base", "openai/whisper-base", "whisper-1")),
    ],
)
def test_a_model_answers_to_the_names_people_know_it_by(model: str, names: tuple[str, ...]) -> None:
    assert list_served_names(model) == names


def test_every_request_has_one_log_line_and_no_text_of_anybody_in_it(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "neuron_whisper.server"), server.client() as client:
        answer = client.post(
            TRANSCRIPTIONS,
            headers={"x-request-id": "mine-1"},
            files={"file": ("secret.wav", tone())},
            data={"prompt": "Nakamura"},
        )
        client.get("/health/live")
    assert answer.headers["x-request-id"] == "mine-1"
    first, second = (record.getMessage() for record in caplog.records)
    assert re.fullmatch(
        r"request id=mine-1 method=POST path=/v1/audio/transcriptions status=200 took_ms=[\d.]+ "
        r"upload_bytes=32044 format=json audio_s=1.00 language=\w+",
        first,
    )
    assert re.fullmatch(r"request id=req_\w{24} method=GET path=/health/live status=200 took_ms=[\d.]+", second)


@pytest.mark.parametrize(
    ("fault", "status", "code", "param"),
    [
        (AudioUnreadable("a.wav", "it is a picture"), 400, "audio_unreadable", "file"),
        (AudioTooLong("a.wav", 60.0), 413, "audio_too_long", "file"),
        (AudioTooLarge("a.wav", "the upload", 10), 413, "audio_too_large", "file"),
        (InvalidOption("language", "xx", "a code"), 400, "invalid_value", "language"),
        (UnknownModel("x", ["base"]), 404, "model_not_found", "model"),
        (QueueFull(4), 503, "queue_full", None),
        (EngineDraining(), 503, "draining", None),
        (CapacityError("later"), 503, "no_capacity", None),
        (DeadlineExceeded(3.0), 504, "deadline_exceeded", None),
        (DeviceError("at /dev/neuron0"), 503, "device_fault", None),
        (ArtifactCorrupt("/var/cache/x", expected=1, found=2), 500, "internal_error", None),
        (RuntimeError("/home/me/x.py"), 500, "internal_error", None),
    ],
)
def test_each_error_has_its_status_and_ours_are_told_without_their_inside(
    fault: Exception, status: int, code: str, param: str | None
) -> None:
    request = RequestFactory(app=Litestar(logging_config=None)).post(TRANSCRIPTIONS)
    response = handle_exception(request, fault)
    error = response.content["error"]
    assert (response.status_code, error["code"], error["param"]) == (status, code, param)
    assert ("retry-after" in response.headers) == (status == 503)
    assert "/" not in error["message"]


def test_the_page_runs_under_a_policy_that_lets_nothing_else_in(server: RunningServer) -> None:
    with server.client() as client:
        page = client.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert len(re.findall(r"'sha256-[A-Za-z0-9+/=]{44}'", policy)) == 2
    assert not re.search(r"""(src|href)=["'](https?:)?//|style=|\son\w+=|{{""", page.text)
    assert '<option value="de">German</option>' in page.text
