"""Messages of clients: what is large, and what is base64."""

from __future__ import annotations

import asyncio
import base64
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.errors import InvalidOption, TextTooLong
from neuron_whisper.server.realtime.messages import MAX_TEXT_MESSAGE_CHARS, decode_base64, decode_message

APPEND = "input_audio_buffer.append"


def decode(message: str) -> object:
    return asyncio.run(decode_message(message, audio_type=APPEND))


def test_a_message_of_any_type_may_have_64_kib() -> None:
    update = {"type": "session.update", "session": {"a": "x" * 60_000}}
    assert decode(json.dumps(update)) == update
    assert decode("[]") == []


def test_a_large_message_may_hold_audio_alone() -> None:
    audio = "A" * 200_000
    message = {"type": APPEND, "event_id": "e1", "audio": audio, "more": [[]] * 1000}
    assert decode(json.dumps(message)) == {"type": APPEND, "event_id": "e1", "audio": audio}


@pytest.mark.parametrize(
    "message",
    [
        json.dumps({"type": "session.update", "session": {"prompt": "x" * 200_000}}),
        '{"type": "input_audio_buffer.commit", "more": [' + "[]," * 100_000 + "0]}",
    ],
)
def test_a_large_message_of_another_type_is_too_long(message: str) -> None:
    with pytest.raises(TextTooLong) as caught:
        decode(message)
    assert (caught.value.field, caught.value.value) == ("message", len(message))


@pytest.mark.parametrize("message", ["[" * 200_000, "x" * 200_000, '{"audio": "' + "A" * 200_000 + '"}'])
def test_a_large_message_that_is_no_event_is_not_decoded(message: str) -> None:
    with pytest.raises((msgspec.DecodeError, RecursionError)):
        decode(message)


@given(st.binary(max_size=200), st.booleans(), st.sampled_from(["", "\n", "\r\n", " "]))
def test_base64_may_lack_its_padding_and_have_line_breaks(data: bytes, is_padded: bool, separator: str) -> None:
    text = base64.b64encode(data).decode()
    if not is_padded:
        text = text.rstrip("=")
    text = separator.join(text[at : at + 76] for at in range(0, len(text), 76)) + separator
    assert asyncio.run(decode_base64("audio", text)) == data


@pytest.mark.parametrize("text", ["A", "AAAAA", "AA?A", "AA=A", "ÄAAA", "A" * (MAX_TEXT_MESSAGE_CHARS + 1)])
def test_what_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        asyncio.run(decode_base64("audio", text))
    assert caught.value.field == "audio"
    assert len(str(caught.value)) < 300
