"""`keys`: creates, lists and revokes."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuron_whisper.cli.main import run
from neuron_whisper.server.http.api_keys import ApiKeyStore


def test_keys_are_made_listed_and_taken_back_by_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "keys.json")
    assert run(["keys", "create", "alice", "--file", file, "--max-requests", "2"]) == 0
    text = capsys.readouterr().out.strip()
    assert run(["keys", "create", "ops", "--file", file, "--admin"]) == 0
    assert run(["keys", "create", "alice", "--file", file]) == 2
    assert run(["keys", "create", "a b", "--file", file]) == 2
    capsys.readouterr()
    assert run(["keys", "list", "--file", file]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in listed] == [["alice", "roles=user"], ["ops", "roles=user,admin"]]
    found = ApiKeyStore(Path(file)).find_client(text)
    assert found is not None
    assert found.max_requests == 2
    assert run(["keys", "revoke", "alice", "--file", file]) == 0
    assert run(["keys", "revoke", "alice", "--file", file]) == 2
    assert ApiKeyStore(Path(file)).find_client(text) is None
