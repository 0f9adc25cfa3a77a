"""HTTP requests to URLs that clients give: to allowed origins and public addresses only, without redirects.

The address is resolved and checked where the connection is opened, so DNS rebinding (a name that resolves to another
address a moment later) does not get around the check.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import httpcore

from neuron_whisper import __version__
from neuron_whisper.errors import InvalidOption, UrlFetchFailed

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_URL_LENGTH = 2048
DEFAULT_PORTS = {"https": 443, "http": 80}
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
HOST_PATTERN = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|[0-9a-f:]*:[0-9a-f:.]*")


class PermanentUrlFailure(UrlFetchFailed):
    """The URL cannot be fetched, and a retry would not change that."""


class _NoAllowedAddress(httpcore.ConnectError):
    """The host resolves to no allowed address."""


class AllowedOrigins:
    """The scheme, host and port that a URL may have. Without entries no URL is allowed.

    "files.example.org" means https on port 443, "*.example.org" every host below it; "http://10.0.0.5:9000" gives all
    three. Raises InvalidOption for `setting`.
    """

    def __init__(self, setting: str, entries: Iterable[str]) -> None:
        self._origins = []
        for entry in entries:
            full = entry if "://" in entry else f"https://{entry}"
            origin = _parse_origin(full, allow_wildcard=True)
            if origin is None or urlsplit(full).path.strip("/"):
                raise InvalidOption(
                    setting, entry, "use an origin such as example.org, *.example.org or http://10.0.0.5:9000"
                )
            self._origins.append(origin)

    def __bool__(self) -> bool:
        return bool(self._origins)

    def check(self, field: str, url: str) -> str:
        """Return the URL if its origin is allowed. Raises InvalidOption for `field`."""
        excerpt = url[:200]
        origin = _parse_origin(url) if len(url) <= MAX_URL_LENGTH and url.isascii() and url.isprintable() else None
        if origin is None or " " in url:
            raise InvalidOption(field, excerpt, "use an ASCII URL with http or https, a host and no user name")
        if not any(_matches(allowed, origin) for allowed in self._origins):
            raise InvalidOption(field, excerpt, "its scheme, host and port must be among those this server allows")
        return url


def _parse_origin(url: str, *, allow_wildcard: bool = False) -> tuple[str, str, int] | None:
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError:
        return None
    host = (parts.hostname or "").lower().rstrip(".")
    if parts.scheme not in DEFAULT_PORTS or "@" in parts.netloc or "\\" in url or not HOST_PATTERN.fullmatch(host):
        return None
    return None if host.startswith("*") and not allow_wildcard else (parts.scheme, host, port)


def _matches(allowed: tuple[str, str, int], origin: tuple[str, str, int]) -> bool:
    """("https", "*.example.org", 443) matches ("https", "a.example.org", 443), not example.org itself."""
    pattern, host = allowed[1], origin[1]
    is_host = host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern
    return is_host and (allowed[0], allowed[2]) == (origin[0], origin[2])


def parse_private_networks(entries: Iterable[str]) -> tuple[Network, ...]:
    """Parse the setting `private_networks`. Raises InvalidOption."""
    networks = []
    for entry in entries:
        try:
            networks.append(ipaddress.ip_network(entry))
        except ValueError:
            raise InvalidOption(
                "private_networks", entry, "use CIDR notation such as 10.1.0.0/16 or fd00::/8"
            ) from None
    return tuple(networks)


class RestrictedHttpClient:
    """HTTP client of one event loop that connects to public addresses and to `allowed_networks` only."""

    def __init__(
        self, allowed_networks: Sequence[Network] = (), *, connect_timeout_s: float = 10.0, idle_timeout_s: float = 30.0
    ) -> None:
        # one connection per request: there are few, and a kept connection would skip the address check
        self._pool = httpcore.AsyncConnectionPool(
            network_backend=_AddressCheckingBackend(allowed_networks), max_keepalive_connections=0, retries=0
        )
        self._timeouts = {"connect": connect_timeout_s, "read": idle_timeout_s, "write": idle_timeout_s, "pool": None}

    @asynccontextmanager
    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, content: bytes | None = None
    ) -> AsyncIterator[httpcore.Response]:
        """Yield the response, whatever its status, its body unread. Raises UrlFetchFailed, also inside the block."""
        host = urlsplit(url).hostname or ""
        all_headers = {"user-agent": f"neuron-whisper/{__version__}", "accept-encoding": "identity", **(headers or {})}
        try:
            async with self._pool.stream(
                method, url, headers=list(all_headers.items()), content=content, extensions={"timeout": self._timeouts}
            ) as response:
                yield response
        except _NoAllowedAddress:
            raise PermanentUrlFailure(
                host, "the host has no allowed address; see the setting private_networks"
            ) from None
        except httpcore.TimeoutException:
            raise UrlFetchFailed(host, "no response in time") from None
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise UrlFetchFailed(
                host, f"the connection failed: {str(error)[:200] or 'it was closed or reset'}"
            ) from None

    async def close(self) -> None:
        await self._pool.aclose()


class _AddressCheckingBackend(httpcore.AsyncNetworkBackend):
    """Resolves a host and connects to its allowed addresses only."""

    def __init__(self, allowed_networks: Sequence[Network]) -> None:
        self._allowed_networks, self._inner = allowed_networks, httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        failure: Exception = _NoAllowedAddress()
        for address in await self._resolve(host, port, timeout):
            try:
                return await self._inner.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def _resolve(self, host: str, port: int, timeout: float | None) -> list[Address]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                results = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except TimeoutError:
            raise httpcore.ConnectTimeout("the host name was not resolved in time") from None
        except OSError as error:
            raise httpcore.ConnectError(f"the host name cannot be resolved: {error.strerror}") from None
        addresses = dict.fromkeys(ipaddress.ip_address(str(it[4][0]).partition("%")[0]) for it in results)
        return [address for address in addresses if is_allowed_address(address, self._allowed_networks)]


def is_allowed_address(address: Address, allowed_networks: Sequence[Network]) -> bool:
    """Whether the address is public or lies in one of the allowed networks."""
    effective = address
    if isinstance(address, ipaddress.IPv6Address):
        # an IPv4 address embedded in IPv6 is checked as that IPv4 address
        effective = address.ipv4_mapped or address.sixtofour or address
        if address in NAT64:
            effective = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if any(effective.version == network.version and effective in network for network in allowed_networks):
        return True
    return effective.is_global and not effective.is_multicast
