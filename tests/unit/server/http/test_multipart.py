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


def raw_part(headers: str | bytes, content: bytes) -> bytes:
    head = headers.encode() if isinstance(headers, str) else headers
    return b"--edge\r\n" + head + b"\r\n\r\n" + content + b"\r\n"


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
        b'form-data; name="file"; filename="Gr\xfc\xdfe.wav"',
        'form-data; name="file"; filename="録音.wav"'.encode("shift_jis"),
        "form-data; name=\"file\"; filename*=UTF-8''%E9%8C%B2.wav",
        'form-data; name="file"; filename="a"; filename*=klingon\'de\'%FF%00.wav',
        'form-data; name="file"; filename="' + "n" * 3000 + '"',
    ],
)
def test_any_file_name_is_accepted(server: RunningServer, disposition: str | bytes) -> None:
    head = b"Content-Disposition: " + (disposition.encode() if isinstance(disposition, str) else disposition)
    with server.client() as client:
        good = raw_part(head, tone()) + b"--edge--\r\n"
        assert client.post(TRANSCRIPTIONS, headers=FORM, content=good).json()["text"] == server.post().json()["text"]
        bad = raw_part(head, b"no sound") + b"--edge--\r\n"
        message = read_error(client.post(TRANSCRIPTIONS, headers=FORM, content=bad), 400)["message"]
    assert "/" not in message.split(": ")[0]
    assert len(message) < 300


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('filename="録音.wav"'.encode(), "録音.wav"),
        (b'filename="Gr\xfc\xdfe.wav"', "Grüße.wav"),
        (b"filename*=UTF-8''%E9%8C%B2%E9%9F%B3.wav", "録音.wav"),
        (b"filename=\"x.wav\"; filename*=iso-8859-1'de'Gr%FC%DFe.wav", "Grüße.wav"),
    ],
)
def test_a_file_name_is_read_in_its_encoding(server: RunningServer, disposition: bytes, name: str) -> None:
    body = raw_part(b'Content-Disposition: form-data; name="file"; ' + disposition, b"no sound") + b"--edge--\r\n"
    with server.client() as client:
        error = read_error(client.post(TRANSCRIPTIONS, headers=FORM, content=body), 400)
    assert error["message"].startswith(f"{name}: ")


def test_a_part_is_read_in_its_declared_charset(server: RunningServer) -> None:
    head = 'Content-Disposition: form-data; name="{}"\r\nContent-Type: text/plain; charset={}'
    upload = raw_part('Content-Disposition: form-data; name="file"; filename="a.wav"', tone())
    with server.client() as client:
        for charset, status in (("iso-8859-1", 200), ("utf-8", 400), ("klingon", 400)):
            body = raw_part(head.format("prompt", charset), "Grüße".encode("latin-1")) + upload + b"--edge--\r\n"
            answer = client.post(TRANSCRIPTIONS, headers=FORM, content=body)
            assert answer.status_code == status, charset
            assert status == 200 or read_error(answer, 400)["param"] == "prompt"


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


def test_a_text_that_is_not_read_to_its_end_is_not_said_to_be_counted(small: RunningServer) -> None:
    with small.client() as client:
        data = {"prompt": "word " * 300_000}
        error = read_error(client.post(TRANSCRIPTIONS, files={"file": tone()}, data=data), 400)
    assert (error["param"], error["code"]) == ("prompt", "text_too_long")
    assert error["message"].startswith("prompt: more than 65,536 bytes")
