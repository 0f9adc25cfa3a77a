"""Forms as they are read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from neuron_whisper.server import ServerSettings
from tests.support.servers import TRANSCRIPTIONS, RunningServer, read_error, run_server, tone

FORM = {"content-type": "multipart/form-data; boundary=edge"}


SMALL = 64 * 1024


@pytest.fixture(scope="module")
def small() -> Iterator[RunningServer]:
    """A server which takes little."""
    settings = ServerSettings(max_upload_bytes=SMALL, max_audio_s=3.0, vad_filter=False)
    with run_server(settings, is_multilingual=False) as made:
        yield made


def raw_part(headers: str, content: bytes) -> bytes:
    return f"--edge\r\n{headers}\r\n\r\n".encode() + content + b"\r\n"


def test_a_form_without_a_file_is_rejected(server: RunningServer) -> None:
    with server.client() as client:
        error = read_error(client.post(TRANSCRIPTIONS, files={"model": (None, "whisper-1")}), 400)
    assert error["param"] == "file"


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
def test_a_body_that_is_not_a_form_gets_400(server: RunningServer, headers: dict[str, str], body: bytes) -> None:
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
def test_any_file_name_is_accepted(server: RunningServer, disposition: str) -> None:
    with server.client() as client:
        good = raw_part(f"Content-Disposition: {disposition}", tone()) + b"--edge--\r\n"
        assert client.post(TRANSCRIPTIONS, headers=FORM, content=good).json()["text"] == server.post().json()["text"]
        bad = raw_part(f"Content-Disposition: {disposition}", b"no sound") + b"--edge--\r\n"
        message = read_error(client.post(TRANSCRIPTIONS, headers=FORM, content=bad), 400)["message"]
    assert "/" not in message.split(": ")[0]
    assert len(message) < 300


def test_an_upload_above_the_limit_is_rejected_by_content_length(small: RunningServer) -> None:
    with small.client() as client:
        response = client.post(TRANSCRIPTIONS, files={"file": bytes(40 * 1024 * 1024)})
    assert read_error(response, 413)["message"] == "request: the upload is larger than the limit of 65,536 bytes"


def test_an_upload_above_the_limit_is_rejected_without_content_length(small: RunningServer) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        for _ in range(100):
            yield bytes(1024 * 1024)

    with small.client() as client:
        error = read_error(client.post(TRANSCRIPTIONS, headers=FORM, content=pieces()), 413)
    assert (error["param"], error["code"]) == ("file", "audio_too_large")
