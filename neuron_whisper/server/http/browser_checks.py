"""What a page in a browser may do to a server without keys: which hosts it may call by, and what it may change.

A page of any origin may send requests to an address of the user's own machine or network. Two things tell them apart:
the Host, where the page's own name was made to resolve to that address (DNS rebinding), and the Origin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from litestar.enums import ScopeType
from litestar.types import HTTPScope, WebSocketScope

from neuron_whisper.server.http.errors import HostNotAllowed, OriginNotAllowed
from neuron_whisper.server.http.hosts import AllowedHosts, is_any_address, is_loopback
from neuron_whisper.server.http.origins import PageOrigins

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
MAX_SHOWN_CHARS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserChecks:
    """The checks of a server. `checks_hosts`: without them every host is allowed; `has_keys`: every origin is.

    A page of another origin has no key: where one is needed it can do nothing.
    """

    allowed_hosts: AllowedHosts
    allowed_origins: PageOrigins
    checks_hosts: bool
    has_keys: bool

    def check(self, scope: HTTPScope | WebSocketScope) -> None:
        """Raises HostNotAllowed, OriginNotAllowed. WebSockets have a check of their own for the origin."""
        headers = {name: value.decode("latin-1") for name, value in scope["headers"] if name in _READ_HEADERS}
        host = headers.get(b"host")
        if self.checks_hosts and host is not None:
            address = (scope.get("server") or ("", None))[0]
            if not self.allowed_hosts.allows(host, local_address=address):
                raise HostNotAllowed(host[:MAX_SHOWN_CHARS])
        if self.has_keys or scope["type"] != ScopeType.HTTP or scope["method"] in SAFE_METHODS:
            return
        if headers.get(b"sec-fetch-site") in ("same-origin", "none"):  # a browser's word, which no page can change
            return
        origin = headers.get(b"origin")
        if not self.allowed_origins.allows(origin, host):
            raise OriginNotAllowed((origin or "")[:MAX_SHOWN_CHARS])


_READ_HEADERS = frozenset({b"host", b"origin", b"sec-fetch-site"})


def create_browser_checks(
    *, allowed_hosts: Sequence[str], allowed_origins: Sequence[str], listens_on: str, has_keys: bool
) -> BrowserChecks:
    """The checks of a server that listens on this address.

    Without a list of hosts only a server on loopback without keys has one, of its own names: others have names that
    it does not know, and keys are no use to a page that does not have one.
    """
    return BrowserChecks(
        allowed_hosts=AllowedHosts((*allowed_hosts, *([listens_on] if not is_any_address(listens_on) else []))),
        allowed_origins=PageOrigins(allowed_origins),
        checks_hosts=bool(allowed_hosts) or (is_loopback(listens_on) and not has_keys),
        has_keys=has_keys,
    )
