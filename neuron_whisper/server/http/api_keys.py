"""API keys: a file of their hashes, read again when it changes, and who a key belongs to."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from neuron_whisper.errors import InvalidOption

log = logging.getLogger(__name__)

Role = Literal["user", "admin"]
KEY_ID_PATTERN = re.compile(r"[A-Za-z0-9._-]{1,64}")
SECRET_BYTES = 32
CHECK_INTERVAL_S = 1.0  # how late a changed file may be seen


class StoredKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A key's line in the file. `created` is a date; `max_requests` may be worked on at once, None: as for everybody.

    One round of sha256 is enough: a key is 256 random bits, which nobody finds by trying.
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
    """Who asks: a key's id, or without keys the address. Only the former stands in logs."""

    id: str
    roles: frozenset[str] = frozenset()
    max_requests: int | None = None
    has_key: bool = False


def create_key(key_id: str, roles: Sequence[Role], *, created: str, max_requests: int | None) -> tuple[str, StoredKey]:
    """A new key's text, which is told once and kept nowhere, and its line in the file. Raises InvalidOption."""
    if not KEY_ID_PATTERN.fullmatch(key_id):
        raise InvalidOption("id", key_id, "1 to 64 letters, digits, dots, dashes and underscores")
    text = f"nw-{secrets.token_urlsafe(SECRET_BYTES)}"
    stored = StoredKey(
        id=key_id, sha256=_hash_key(text), roles=tuple(roles), created=created, max_requests=max_requests
    )
    return text, stored


def read_keys(path: Path) -> tuple[StoredKey, ...]:
    """Raises InvalidOption for what is no file of keys, or one that others can write: they could let themselves in."""
    try:
        if path.stat().st_mode & stat.S_IWOTH:
            raise InvalidOption("keys_file", str(path), "a file that others cannot write: chmod o-w")
        keys = msgspec.json.decode(path.read_bytes(), type=KeyFile).keys
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


def write_keys(path: Path, keys: Sequence[StoredKey]) -> None:
    """All at once: a server that reads meanwhile sees the old file or the new one. Raises OSError."""
    text = msgspec.json.format(msgspec.json.encode(KeyFile(keys=tuple(keys))), indent=2)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text + b"\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


class ApiKeyStore:
    """The keys that are good now. Used by one thread; the time comes in for tests."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises InvalidOption: a server does not start with keys that it cannot read."""
        self._path, self._clock = path, clock
        self._loaded_fingerprint = self._take_fingerprint()
        self._keys = read_keys(path)
        self._checked_at = clock()
        log.info("keys loaded n=%d", len(self._keys))

    def find_client(self, key_text: str) -> Client | None:
        """Whose key it is; None: nobody's."""
        self._reload_if_changed()
        digest = _hash_key(key_text)
        found: StoredKey | None = None
        for key in self._keys:  # all of them, each in the same time: how long it takes tells nothing
            if hmac.compare_digest(key.sha256, digest):
                found = key
        if found is None:
            return None
        return Client(id=found.id, roles=frozenset(found.roles), max_requests=found.max_requests, has_key=True)

    def reload(self) -> None:
        """Read the file now. One that cannot be read leaves the keys as they were, and says so."""
        self._checked_at = self._clock()
        self._loaded_fingerprint = self._take_fingerprint()
        try:
            self._keys = read_keys(self._path)
        except InvalidOption as error:
            log.error("keys kept as they were: %s", error)
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
