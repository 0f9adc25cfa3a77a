"""Decodes the JSON messages of a client within limits: a large one holds audio, and is decoded in a thread."""

from __future__ import annotations

import asyncio
import binascii
from typing import Any

import msgspec

from neuron_whisper.errors import InvalidOption, TextTooLong

MAX_TEXT_MESSAGE_CHARS = 64 * 1024  # of a message without audio; larger ones are decoded in a thread
WHITESPACE = b" \t\r\n\f\v"
INVALID_BASE64 = "base64 of the session's input audio format, with or without padding and line breaks"


class _Header(msgspec.Struct, kw_only=True):
    """The fields that tell what a message is. What else it has is skipped without being stored."""

    type: str
    event_id: str | None = None


class _AudioMessage(_Header, kw_only=True):
    audio: str


async def decode_message(message: str, *, audio_type: str) -> Any:
    """The decoded message; only one whose `type` is `audio_type` may be large, and of that only the audio is kept.

    Raises DecodeError or RecursionError for what is no JSON, TextTooLong for a large message of another type.
    """
    if len(message) <= MAX_TEXT_MESSAGE_CHARS:
        return msgspec.json.decode(message)
    return await asyncio.to_thread(_decode_audio_message, message, audio_type)


def _decode_audio_message(message: str, audio_type: str) -> Any:
    # a header first: 15 MB of small lists would be gigabytes of objects, made while nothing else runs
    header = msgspec.json.decode(message, type=_Header)
    if header.type != audio_type:
        raise TextTooLong("message", len(message), MAX_TEXT_MESSAGE_CHARS)
    return msgspec.structs.asdict(msgspec.json.decode(message, type=_AudioMessage))


async def decode_base64(field: str, text: str) -> bytes:
    """The bytes of a text in base64. Raises InvalidOption for `field`."""
    if len(text) <= MAX_TEXT_MESSAGE_CHARS:
        return _decode_base64(field, text)
    return await asyncio.to_thread(_decode_base64, field, text)


def _decode_base64(field: str, text: str) -> bytes:
    try:
        encoded = text.encode("ascii").translate(None, WHITESPACE).rstrip(b"=")
        return binascii.a2b_base64(encoded + b"=" * (-len(encoded) % 4), strict_mode=True)
    except ValueError:
        raise InvalidOption(field, text[:80], INVALID_BASE64) from None
