"""Which names a server may be called by: this machine's own, and those of the setting allowed_hosts."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from neuron_whisper.errors import InvalidOption

ANY_HOST = "*"
LOCAL_NAMES = frozenset({"localhost", "host.docker.internal", "host.containers.internal"})
_ENTRY_PATTERN = re.compile(r"\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?|\[?[0-9a-f:.]*:[0-9a-f:.]*\]?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """The host names of a setting: `speech.example.com`, `*.example.com` for every name below one, `*` for every name.

    Names of this machine are always allowed: a browser resolves them itself. Raises InvalidOption for what is no name.
    """

    entries: Sequence[str] = ()

    def __post_init__(self) -> None:
        for entry in self.entries:
            if not _ENTRY_PATTERN.fullmatch(entry):
                allowed = "a host name without a port, such as speech.example.com or *.example.com; * allows every name"
                raise InvalidOption("allowed_hosts", entry, allowed)

    def allows(self, host: str, *, local_address: str) -> bool:
        """Whether a request with this Host, which came to this address of the machine, is served."""
        name = parse_host(host)
        return (
            name in LOCAL_NAMES
            or name.endswith(".localhost")
            or is_loopback(name)
            or (name != "" and name == local_address.removeprefix("::ffff:"))
            or any(self._matches(name, entry.lower().rstrip(".").strip("[]")) for entry in self.entries)
        )

    @staticmethod
    def _matches(name: str, entry: str) -> bool:
        return entry in (ANY_HOST, name) or (entry.startswith("*.") and name.endswith(entry[1:]))


def parse_host(host: str) -> str:
    """The name or address of a Host header, in lower case, without port and brackets; "" where it is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine's own, which no other machine reaches."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def is_any_address(host: str) -> bool:
    """Whether a server that listens there has every address of the machine."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
