"""What a client sends to InvokeEndpoint becomes the form of the audio API."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.errors import InvalidOption, MissingOption
from neuron_whisper.server.sagemaker.invocation import parse_attributes, parse_json

AUDIO = b"RIFF\x24\x00\x00\x00WAVE"


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("", []),
        ("language=de;response_format=text", [("language", "de"), ("response_format", "text")]),
        (" language = de ; ", [("language", "de")]),
        ("prompt=Frau%20M%C3%BCller%3B%20a=b", [("prompt", "Frau Müller; a=b")]),
        ("prompt=Frau Müller".encode().decode("latin-1"), [("prompt", "Frau Müller")]),
        ("prompt=M%C3%BCller und Müller".encode().decode("latin-1"), [("prompt", "Müller und Müller")]),
        ("prompt=M\xfcller", [("prompt", "M\ufffdller")]),  # no UTF-8
        ("c000b4f9-df62-4c85-a0bf-7c525f9104a4", []),  # a client's own, passed through
        ("trace 7;language=de", [("language", "de")]),
        ('{"language": "de", "beam_size": 5}', [("language", "de"), ("beam_size", "5")]),
        ('{"stream": true, "prompt": null}', [("stream", "true")]),
    ],
)  # fmt: skip
def test_custom_attributes_are_fields(text: str, fields: list[tuple[str, str]]) -> None:
    assert list(parse_attributes(text)) == fields


@given(st.dictionaries(st.sampled_from(["prompt", "language"]), st.text().map(str.strip), max_size=2))
def test_every_text_passes_as_a_percent_encoded_attribute(fields: dict[str, str]) -> None:
    sent = ";".join(f"{name}={quote(value)}" for name, value in fields.items())
    assert dict(parse_attributes(sent)) == fields


@given(st.binary(max_size=200))
def test_every_file_passes_in_base64_and_in_hex(content: bytes) -> None:
    encoded = base64.b64encode(content).decode()
    for name, value in (
        ("inputs", encoded),
        ("audio", f"data:audio/wav;base64,{encoded}"),
        ("audio_input", content.hex()),
    ):
        assert parse_json(json.dumps({name: value}).encode()) == (content, [])


def test_fields_stand_beside_the_file_or_in_parameters() -> None:
    document = {
        "inputs": base64.b64encode(AUDIO).decode(),
        "language": "de",
        "prompt": None,
        "parameters": {
            "temperature": 0.5,
            "stream": False,
            "timestamp_granularities": ["word", "segment"],
            "clip_timestamps": [0, 5.5],
            "chunking_strategy": {"type": "server_vad"},
        },
    }
    assert parse_json(json.dumps(document).encode()) == (
        AUDIO,
        [
            ("language", "de"),
            ("temperature", "0.5"),
            ("stream", "false"),
            ("timestamp_granularities", "word"),
            ("timestamp_granularities", "segment"),
            ("clip_timestamps", "0,5.5"),
            ("chunking_strategy", '{"type":"server_vad"}'),
        ],
    )


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"[1]", "body"),
        (b"not json", "body"),
        (b"[" * 100_000, "body"),
        (b'{"inputs": "%%%"}', "inputs"),
        (b'{"inputs": 5}', "inputs"),
        (b'{"audio_input": "abc"}', "audio_input"),
        (b'{"audio_input": "UklGRg=="}', "audio_input"),
        (b'{"inputs": "https://example.org/a.wav"}', "inputs"),
        (b'{"inputs": "s3://bucket/a.wav"}', "inputs"),
        (b'{"inputs": "UklGRg==", "audio": "UklGRg=="}', "audio"),
        (b'{"inputs": "UklGRg==", "parameters": [1]}', "parameters"),
    ],
)
def test_a_body_that_holds_no_file_is_refused_by_its_field(body: bytes, field: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        parse_json(body)
    assert refused.value.field == field


def test_a_body_without_audio_says_what_to_send() -> None:
    with pytest.raises(MissingOption, match="inputs"):
        parse_json(b'{"parameters": {}}')
