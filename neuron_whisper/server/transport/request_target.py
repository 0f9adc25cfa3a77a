"""A request target in absolute-form, `GET http://host/path`, as the path and the Host that it means."""

from __future__ import annotations

import re

import h11

_ABSOLUTE = re.compile(rb"(?i:https?)://(?P<authority>[^/?#@\\]*)(?P<rest>(?:[/?][^#]*)?)")
_HAS_SCHEME = re.compile(rb"(?i:https?)://")


def to_origin_form(request: h11.Request) -> h11.Request:
    """The request with its path for a target, as RFC 9112 3.2.2 demands of a server that is no proxy.

    The target's host replaces that of the Host header. Raises h11.RemoteProtocolError for a target without a host, and
    for one with a user's name or a fragment.
    """
    if not _HAS_SCHEME.match(request.target):
        return request
    found = _ABSOLUTE.fullmatch(request.target)
    if found is None or not found["authority"]:
        raise h11.RemoteProtocolError("the request target has no host, or more than host, path and query")
    path = found["rest"] if found["rest"].startswith(b"/") else b"/" + found["rest"]
    others = [(name, value) for name, value in request.headers.raw_items() if name.lower() != b"host"]
    return h11.Request(
        method=request.method,
        target=path,
        headers=[(b"Host", found["authority"]), *others],
        http_version=request.http_version,
    )
