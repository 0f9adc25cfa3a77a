"""The file of API keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuron_whisper.errors import InvalidOption
from neuron_whisper.server.http.api_keys import ApiKeyStore, create_key, read_keys, write_keys


def test_changed_keys_are_loaded_without_a_restart(tmp_path: Path) -> None:
    now = 0.0
    file = tmp_path / "keys.json"
    one, stored_one = create_key("one", ["user"], created="", max_requests=None)
    two, stored_two = create_key("two", ["user"], created="", max_requests=7)
    write_keys(file, [stored_one])
    ring = ApiKeyStore(file, clock=lambda: now)
    write_keys(file, [stored_two])
    assert ring.find_client(one) is not None  # the file is looked at once a second
    now = 1.0
    assert ring.find_client(one) is None
    found = ring.find_client(two)
    assert found is not None
    assert (found.id, found.max_requests) == ("two", 7)
    file.write_text("{")
    now = 2.0
    assert ring.find_client(two) is not None  # after an unreadable file the old keys stay valid
    file.unlink()
    now = 3.0
    assert ring.find_client(two) is not None
    write_keys(file, [stored_one])
    ring.reload()
    assert ring.find_client(one) is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"keys": [{"id": "a"}]}',
        '{"keys": [{"id": "a", "sha256": "00"}]}',
        '{"other": 1}',
        '{"keys": [{"id": "a b", "sha256": "' + "0" * 64 + '"}]}',
    ],
)
def test_an_unreadable_file_is_rejected(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys.json"
    file.write_text(text)
    with pytest.raises(InvalidOption, match=r"^keys_file: "):
        ApiKeyStore(file)
    with pytest.raises(InvalidOption, match=r"^keys_file: "):
        ApiKeyStore(tmp_path / "none.json")


def test_a_file_that_others_can_write_is_rejected(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    write_keys(file, [])
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o666)
    with pytest.raises(InvalidOption, match="others cannot write"):
        read_keys(file)
