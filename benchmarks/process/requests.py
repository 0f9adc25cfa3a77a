"""Requests to a server with OpenAI's audio API."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import httpx

TRANSCRIPTIONS = "/v1/audio/transcriptions"
RESPONSE_TIMEOUT_S = 600.0


def transcribe_file(url: str, path: Path, fields: Mapping[str, str]) -> str:
    """The text of the file. Raises httpx.HTTPError for any other response than 200."""
    response = httpx.post(
        f"{url}{TRANSCRIPTIONS}",
        files={"file": (path.name, path.read_bytes())},
        data={"response_format": "json", **fields},
        timeout=RESPONSE_TIMEOUT_S,
        trust_env=False,
    )
    response.raise_for_status()
    return str(response.json()["text"])


def encode_form(path: Path, fields: Mapping[str, str]) -> tuple[bytes, dict[str, str]]:
    """(body, headers) of a multipart form, to be sent many times without encoding it again."""
    request = httpx.Request("POST", "http://server", files={"file": (path.name, path.read_bytes())}, data=dict(fields))
    return request.read(), {"content-type": request.headers["content-type"]}
