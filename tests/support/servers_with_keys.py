"""Servers that require API keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from neuron_whisper.server import ServerSettings
from neuron_whisper.server.http.api_keys import create_key, write_keys
from tests.support.servers import RunningServer, run_server


class ServerWithKeys:
    """A running server with two keys."""

    def __init__(self, server: RunningServer, file: Path, user: str, admin: str) -> None:
        self.server, self.file, self.user, self.admin = server, file, user, admin

    def get(self, path: str, key: str | None = None, **headers: str) -> httpx.Response:
        given = {"authorization": f"Bearer {key}"} if key is not None else {}
        with self.server.client() as client:
            return client.get(path, headers={**given, **headers})


@contextmanager
def run_server_with_keys(tmp_path: Path, **more: Any) -> Iterator[ServerWithKeys]:
    file = tmp_path / "keys.json"
    user, stored_user = create_key("alice", ["user"], created="2026-01-01", max_requests=1)
    admin, stored_admin = create_key("root", ["user", "admin"], created="2026-01-01", max_requests=None)
    write_keys(file, [stored_user, stored_admin])
    with run_server(ServerSettings(vad_filter=False, keys_file=file, **more)) as server:
        yield ServerWithKeys(server, file, user, admin)
