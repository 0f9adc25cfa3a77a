"""API keys with the official client."""

from __future__ import annotations

from pathlib import Path

import openai
import pytest

from tests.support.servers import tone
from tests.support.servers_with_keys import run_server_with_keys


def test_the_official_client_authenticates(tmp_path: Path) -> None:
    with run_server_with_keys(tmp_path) as it:
        clip = ("tone.wav", tone())
        with openai.OpenAI(base_url=f"{it.server.url}/v1", api_key=it.user) as good:
            assert good.audio.transcriptions.create(model="whisper-1", file=clip).text
        with (
            openai.OpenAI(base_url=f"{it.server.url}/v1", api_key="nw-no") as bad,
            pytest.raises(openai.AuthenticationError),
        ):
            bad.audio.transcriptions.create(model="whisper-1", file=clip)
