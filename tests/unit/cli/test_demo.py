"""The demo's recording, its form, and a server that does not start."""

from __future__ import annotations

from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path

from neuron_whisper.cli.context import CliContext
from neuron_whisper.cli.demo import encode_multipart, find_recording


def test_the_given_recording_is_taken(tmp_path: Path) -> None:
    recording = find_recording(CliContext(cache=tmp_path), tmp_path / "talk.mp3")
    assert (recording.path, recording.origin) == (tmp_path / "talk.mp3", str(tmp_path / "talk.mp3"))


def test_a_form_reads_back_with_its_fields_and_file() -> None:
    content = b"RIFF\r\n--\x00"
    body, content_type = encode_multipart({"model": "whisper-1"}, 'a"b.wav', content)
    message = BytesParser(policy=HTTP).parsebytes(f"content-type: {content_type}\r\n\r\n".encode() + body)
    parts = {
        part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
        for part in message.iter_parts()
    }
    assert parts == {"model": b"whisper-1", "file": content}
    assert b'filename="a_b.wav"' in body
