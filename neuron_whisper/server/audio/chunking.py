"""The form field chunking_strategy: OpenAI's server_vad as options of our voice activity detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import msgspec

from neuron_whisper.audio.vad_options import VadOptions
from neuron_whisper.decode.options import DEFAULT_VAD

CHUNKING_FIELD = "chunking_strategy"
AUTO = "auto"
MAX_VAD_MS = 10_000


class ServerVad(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """OpenAI's server_vad. Omitted values are this server's defaults."""

    type: Literal["server_vad"]
    threshold: Annotated[float, msgspec.Meta(ge=0.01, le=1.0)] = DEFAULT_VAD.threshold
    prefix_padding_ms: Annotated[int, msgspec.Meta(ge=0, le=MAX_VAD_MS)] = DEFAULT_VAD.speech_pad_ms
    silence_duration_ms: Annotated[int, msgspec.Meta(ge=0, le=MAX_VAD_MS)] | msgspec.UnsetType = msgspec.UNSET

    @property
    def vad(self) -> VadOptions:
        """These values as detector options. Our detector pads speech on both sides, OpenAI's before it."""
        vad = replace(DEFAULT_VAD, threshold=self.threshold, speech_pad_ms=self.prefix_padding_ms)
        if self.silence_duration_ms is msgspec.UNSET:
            return vad
        return replace(vad, min_silence_duration_ms=self.silence_duration_ms)


ALLOWED_CHUNKING = (
    f'"auto", or {{"type": "server_vad"}} with threshold (0.01 to 1), prefix_padding_ms and silence_duration_ms '
    f"(whole numbers from 0 to {MAX_VAD_MS})"
)


def read_chunking(text: str) -> str | ServerVad:
    """ "auto" or a JSON text of a server_vad object. Raises ValueError."""
    if text in (AUTO, f'"{AUTO}"'):
        return AUTO
    try:
        return msgspec.json.decode(text, type=ServerVad)
    except msgspec.DecodeError as error:
        raise ValueError(text) from error


def fold_bracket_fields(texts: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Join `chunking_strategy[threshold]` etc., the openai client's form of an object, into one field of JSON text.

    {"chunking_strategy[type]": ["server_vad"]} -> {"chunking_strategy": ['{"type":"server_vad"}']}
    """
    joined: dict[str, list[str]] = {}
    parts: dict[str, Any] = {}
    for name, values in texts.items():
        if is_bracket_field(name):
            # a part that is sent twice stays a list, which the validation rejects
            parts[name[len(CHUNKING_FIELD) + 1 : -1]] = _parse_number_or_text(values[0]) if len(values) == 1 else values
        else:
            joined[name] = list(values)
    if parts:
        joined.setdefault(CHUNKING_FIELD, []).append(msgspec.json.encode(parts).decode())
    return joined


def _parse_number_or_text(text: str) -> float | str:
    """Form values are text, but JSON distinguishes numbers from text: "0.5" -> 0.5."""
    try:
        value: float = msgspec.json.decode(text, type=int | float)
    except msgspec.DecodeError:
        return text
    return value


def is_bracket_field(name: str) -> bool:
    """Whether `name` is `chunking_strategy[...]`."""
    return name.startswith(f"{CHUNKING_FIELD}[") and name.endswith("]") and not name.endswith("[]")
