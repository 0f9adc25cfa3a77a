"""API keys: a file of their hashes, reloaded when it changes, and the client that a key belongs to."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import hmac
import logging
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from neuron_whisper.errors import InvalidOption
from neuron_whisper.host.atomic_files import write_atomically
from neuron_whisper.host.text_files import decode_text

log = logging.getLogger(__name__)

Role = Literal["user", "admin"]
KEY_ID_PATTERN = re.compile(r"[A-Za-z0-9._-]{1,64}")
SECRET_BYTES = 32
CHECK_INTERVAL_S = 1.0  # between two looks at the file's modification time


class StoredKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A key as the file holds it. `created` is a date; `max_requests` in flight at once, None: the server's limit.

    One round of sha256 is enough: a key is 256 random bits, which cannot be found by trying.
    """

    id: str
    sha256: str
    roles: tuple[Role, ...] = ("user",)
    created: str = ""
    max_requests: int | None = None


class KeyFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    keys: tuple[StoredKey, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """The client of a request: a key's id, or without keys its address. Only key ids are logged."""

    id: str
    roles: frozenset[str] = frozenset()
    max_requests: int | None = None
    has_key: bool = False
    key_sha256: str = field(default="", repr=False)  # tells a key from a later one of the same id


def create_key(key_id: str, roles: Sequence[Role], *, created: str, max_requests: int | None) -> tuple[str, StoredKey]:
    """A new key's text, which is shown once and stored nowhere, and its entry for the file. Raises InvalidOption."""
    if not KEY_ID_PATTERN.fullmatch(key_id):
        raise InvalidOption("id", key_id, "1 to 64 letters, digits, dots, dashes and underscores")
    text = f"nw-{secrets.token_urlsafe(SECRET_BYTES)}"
    stored = StoredKey(
        id=key_id, sha256=_hash_key(text), roles=tuple(roles), created=created, max_requests=max_requests
    )
    return text, stored


def get_share(limit: int, per_key: int, n_keys: int) -> int:
    """What one API key may have of `limit`: `per_key`, or with 0 a half where there are other keys."""
    if per_key:
        return min(limit, per_key)
    return max(1, limit // 2) if n_keys > 1 else limit


def read_keys(path: Path) -> tuple[StoredKey, ...]:
    """The keys of a file. Raises InvalidOption where it is not one, or others can write it: they could add keys."""
    try:
        _refuse_writable_by_others(path)
        keys = msgspec.json.decode(decode_text(path.read_bytes()), type=KeyFile).keys
    except OSError as error:
        raise InvalidOption("keys_file", str(path), f"a file that can be read: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidOption("keys_file", str(path), f"a file that `neuron-whisper keys` wrote: {error}") from error
    for key in keys:
        if not KEY_ID_PATTERN.fullmatch(key.id) or not re.fullmatch(r"[0-9a-f]{64}", key.sha256):
            raise InvalidOption("keys_file", str(path), f"an id and the 64 hex digits of a sha256, not {key.id!r}")
    if len({key.id for key in keys}) < len(keys):
        raise InvalidOption("keys_file", str(path), "each id once")
    return keys


def _refuse_writable_by_others(path: Path) -> None:
    """Raises InvalidOption for a file, or a directory in which it could be replaced; sticky ones, as /tmp, are fine."""
    _refuse_directory_of_others(path)
    if path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise InvalidOption("keys_file", str(path), f"a file that only its owner can write: chmod go-w {path}")


def _refuse_directory_of_others(path: Path) -> None:
    for directory in (path.parent, path.resolve().parent):
        mode = directory.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            allowed = f"a file in a directory that others cannot write: chmod o-w {directory.absolute()}"
            raise InvalidOption("keys_file", str(path), allowed)


@contextmanager
def lock_keys(path: Path) -> Iterator[None]:
    """Hold the lock of the directory of a key file while the block reads, changes and writes it.

    Raises OSError, and InvalidOption for a directory that everybody can write.

    The directory's, as the file is replaced: two processes would lock different files.
    """
    _refuse_directory_of_others(path)
    descriptor = os.open(path.resolve().parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_keys(path: Path, keys: Sequence[StoredKey]) -> None:
    """Replace the file atomically: a server that reads it meanwhile sees the old or the new one. Raises OSError."""
    text = msgspec.json.format(msgspec.json.encode(KeyFile(keys=tuple(keys))), indent=2)
    write_atomically(path, text + b"\n", mode=0o600)


class ApiKeyStore:
    """The valid keys of a file. Used by one thread. `clock` is an argument for tests."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises InvalidOption where the file cannot be read: a server must not start without its keys."""
        self._path, self._clock = path, clock
        self._loaded_fingerprint = self._take_fingerprint()
        self._keys = read_keys(path)
        self._checked_at = clock()
        log.info("keys loaded n=%d", len(self._keys))

    def find_client(self, key_text: str) -> Client | None:
        """The client that a key belongs to, None for an unknown key."""
        self._reload_if_changed()
        digest = _hash_key(key_text)
        found: StoredKey | None = None
        for key in self._keys:  # every key, in constant time: the duration reveals nothing
            if hmac.compare_digest(key.sha256, digest):
                found = key
        if found is None:
            return None
        return Client(
            id=found.id,
            roles=frozenset(found.roles),
            max_requests=found.max_requests,
            has_key=True,
            key_sha256=found.sha256,
        )

    def __len__(self) -> int:
        return len(self._keys)

    async def wait_until_revoked(self, client: Client) -> None:
        """Return when the client's key is no longer in the file, at most CHECK_INTERVAL_S later."""
        while any(key.sha256 == client.key_sha256 for key in self._keys):
            await asyncio.sleep(CHECK_INTERVAL_S)
            self._reload_if_changed()

    def reload(self) -> None:
        """Read the file now. Where it cannot be read, the keys stay as they are and the error is logged."""
        self._checked_at = self._clock()
        self._loaded_fingerprint = self._take_fingerprint()
        try:
            self._keys = read_keys(self._path)
        except InvalidOption as error:
            log.error("keys not reloaded: %s", error)
        else:
            log.info("keys loaded n=%d", len(self._keys))

    def _reload_if_changed(self) -> None:
        if self._clock() - self._checked_at >= CHECK_INTERVAL_S:
            self._checked_at = self._clock()
            if self._take_fingerprint() != self._loaded_fingerprint:
                self.reload()

    def _take_fingerprint(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


def _hash_key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
