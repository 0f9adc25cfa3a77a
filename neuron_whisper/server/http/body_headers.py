"""Refuses requests whose headers leave open where the body ends, or encode it in a way that is not decoded here."""

from __future__ import annotations

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

IDENTITY = "identity"


class AmbiguousLength(Exception):
    """The request has a Content-Length beside Transfer-Encoding: a proxy may believe the one, this server the other."""

    def __init__(self) -> None:
        super().__init__("send either Content-Length or Transfer-Encoding: chunked, not both")


class UnsupportedEncoding(Exception):
    """The body of the request is compressed, which this server does not undo."""

    def __init__(self, encoding: str) -> None:
        super().__init__(f"Content-Encoding: {encoding[:80]!r} is not supported; send the body as it is")


def check_body_headers(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Guard of every route. Raises AmbiguousLength, UnsupportedEncoding."""
    headers = connection.headers
    if "transfer-encoding" in headers and "content-length" in headers:
        raise AmbiguousLength
    encoding = ",".join(headers.getall("content-encoding", []))
    if any(word.strip().lower() not in ("", IDENTITY) for word in encoding.split(",")):
        raise UnsupportedEncoding(encoding)
