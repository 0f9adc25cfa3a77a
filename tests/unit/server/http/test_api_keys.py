"""The file of API keys."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from neuron_whisper.errors import InvalidOption
from neuron_whisper.server.http.api_keys import (
    ApiKeyStore,
    create_key,
    get_share,
    lock_keys,
    read_keys,
    write_keys,
)


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


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_before_the_keys_is_skipped(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "keys.json"
    _, key = create_key("a", ["user"], created="2026-01-01", max_requests=None)
    write_keys(file, [key])
    file.write_bytes(file.read_text().encode(encoding))
    assert read_keys(file) == (key,)


@pytest.mark.parametrize("mode", [0o666, 0o602, 0o660])
def test_a_file_that_others_can_write_is_rejected(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "keys.json"
    write_keys(file, [])
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(mode)
    with pytest.raises(InvalidOption, match="only its owner can write"):
        read_keys(file)


def test_a_file_that_others_can_replace_is_rejected(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    write_keys(shared / "keys.json", [])
    link = tmp_path / "keys.json"
    link.symlink_to(shared / "keys.json")
    shared.chmod(0o777)
    for path in (shared / "keys.json", link):
        with pytest.raises(InvalidOption, match="others cannot write"):
            read_keys(path)
    with pytest.raises(InvalidOption, match="others cannot write"), lock_keys(shared / "new.json"):
        pass
    shared.chmod(0o1777)  # sticky, as /tmp and mounted secrets are: nobody replaces another's file
    assert read_keys(link) == ()


def test_commands_change_the_file_one_after_the_other(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"

    def add(number: int) -> None:
        with lock_keys(file):
            stored = read_keys(file) if file.exists() else ()
            _, key = create_key(f"key-{number}", ["user"], created="", max_requests=None)
            write_keys(file, [*stored, key])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(40)))
    assert {key.id for key in read_keys(file)} == {f"key-{number}" for number in range(40)}


@pytest.mark.parametrize(
    ("per_key", "n_keys", "share"), [(0, 0, 32), (0, 1, 32), (0, 2, 16), (5, 2, 5), (50, 9, 32), (5, 1, 5)]
)
def test_a_key_has_half_where_there_are_others_or_what_is_set(per_key: int, n_keys: int, share: int) -> None:
    assert get_share(32, per_key, n_keys) == share


def test_half_of_one_is_one() -> None:
    assert get_share(1, 0, 2) == 1
