"""What a request is routed as: HEAD as GET, and a path below the prefix of a reverse proxy as the path itself."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from litestar.types import HTTPScope, WebSocketScope

S = TypeVar("S", HTTPScope, WebSocketScope)


def to_routed_scope(scope: S, root_path: str) -> S:
    """The scope that the routes see, a copy where it differs; the server drops the body of a response to HEAD.

    A proxy may strip `root_path`, or pass it on: both are the same path here.
    """
    changes: dict[str, Any] = {}
    if scope.get("method") == "HEAD":
        changes["method"] = "GET"
    path = scope["path"]
    if root_path and path.startswith(f"{root_path}/"):
        changes |= {
            "path": path.removeprefix(root_path),
            "raw_path": scope["raw_path"].removeprefix(root_path.encode()),
        }
    return cast("S", {**scope, **changes}) if changes else scope


def is_root_without_slash(scope: HTTPScope, root_path: str) -> bool:
    """Whether the request is for the page at `root_path`, whose relative links need the slash at its end."""
    return bool(root_path) and scope["path"] == root_path
