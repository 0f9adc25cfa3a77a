"""Which origins a browser's page may have: the server's own, and those of the setting cors_origins."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from neuron_whisper.errors import InvalidOption

ANY_ORIGIN = "*"
ALLOWED_FORMS = (
    "an origin such as https://app.example.com, https://*.example.com, app://obsidian.md, file:// or null, without a "
    "path; * allows every page"
)
_ORIGIN_PATTERN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s?#]*|null|\*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PageOrigins:
    """The origins of a setting, as browsers send them; "*" within one stands for anything but a slash.

    An app's page may have a scheme of its own (`app://obsidian.md`, `tauri://localhost`), and a local file sends
    `file://` or `null`. Raises InvalidOption for what is no origin.
    """

    entries: Sequence[str] = ()
    pattern: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        for entry in self.entries:
            if not _ORIGIN_PATTERN.fullmatch(entry) or entry.lower() in ("http://", "https://"):
                raise InvalidOption("cors_origins", entry, ALLOWED_FORMS)
        patterns = [".*" if entry == ANY_ORIGIN else _to_pattern(entry) for entry in self.entries]
        object.__setattr__(self, "pattern", re.compile("|".join(patterns) or "(?!)", re.IGNORECASE))

    def __contains__(self, origin: str) -> bool:
        return self.pattern.fullmatch(origin) is not None

    def allows(self, origin: str | None, host: str | None) -> bool:
        """Whether a request with this Origin to this Host is served: no page sent it, our own did, or a listed one."""
        return origin is None or is_same_origin(origin, host) or origin in self


def is_same_origin(origin: str, host: str | None) -> bool:
    """Whether the page of `origin` came from the server that `host` names. The scheme is a proxy's matter."""
    try:
        netloc = urlsplit(origin).netloc
    except ValueError:
        return False
    return bool(netloc) and netloc.lower() == (host or "").lower()


def _to_pattern(entry: str) -> str:
    return "[^/]*".join(re.escape(part) for part in entry.split("*"))
