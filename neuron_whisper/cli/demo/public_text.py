"""Removes from a report what its reader must not see: secrets, home directories and the machine's name."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from typing import Any

from neuron_whisper.host.home import find_home

HIDDEN = "***"
MIN_SECRET_CHARACTERS = 6  # a shorter value of a variable would hide parts of words
MIN_HOST_CHARACTERS = 4
SECRET_NAME = r"token|key|secret|passw(?:or)?d|credential|signature|bearer"  # noqa: S105 - parts of names
# not "key": that of an artifact is in every report
_SECRET_VARIABLE = re.compile(SECRET_NAME, re.IGNORECASE)
_ANY_HOME = re.compile(r"(?<![\w.~-])/(?:home|Users)/[^/\s:;,'\"()]+|(?<![\w./~-])/root(?=[/\s:;,'\"()]|$)")
_PATTERNS = (
    # https://user:password@index/
    (re.compile(r"(?<=://)[^/\s@]+@"), f"{HIDDEN}@"),
    # --api-key VALUE, --token=VALUE
    (re.compile(rf"(?i)(--[\w-]*(?:{SECRET_NAME})[\w-]*)(\s+|=)(?!-)\S+"), rf"\1\2{HIDDEN}"),
    # HF_TOKEN=VALUE, X-Amz-Signature=VALUE, ?token=VALUE
    (re.compile(rf"(?i)([\w-]*(?:{SECRET_NAME})[\w-]*=)[^\s&;,'\"]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)(authorization\s*[:=]\s*)(?:(?:bearer|basic)\s+)?\S+"), rf"\1{HIDDEN}"),
    # tokens by their form: Hugging Face, AWS, GitHub, OpenAI
    (re.compile(r"\bhf_\w{16,}|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_\w{20,}|\bsk-[\w-]{16,}"), HIDDEN),
)


class PublicText:
    """Rewrites texts for one machine: its `environment`, home directory and host name."""

    def __init__(
        self, environment: Mapping[str, str] = os.environ, *, home: str | None = None, host: str | None = None
    ) -> None:
        found = find_home()
        home = home if home is not None else str(found or "")
        self._homes = [path for path in dict.fromkeys((home.rstrip("/"), os.path.realpath(home))) if len(path) > 1]
        self._secrets = sorted(
            {
                value
                for name, value in environment.items()
                if _SECRET_VARIABLE.search(name) and len(value) >= MIN_SECRET_CHARACTERS and not value.startswith("/")
            },
            key=len,
            reverse=True,
        )
        self._host = host if host is not None else socket.gethostname()

    def rewrite(self, text: str) -> str:
        """ "/home/me/.cache: token=abc" -> "~/.cache: token=***" """
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        for home in self._homes:
            text = re.sub(rf"{re.escape(home)}(?=[/\s:;,'\"()]|$)", "~", text)
        text = _ANY_HOME.sub("~", text)
        if len(self._host) >= MIN_HOST_CHARACTERS:
            text = re.sub(rf"(?<![\w-]){re.escape(self._host)}(?![\w-])", "HOST", text)
        return text

    def rewrite_all(self, value: Any) -> Any:
        """Every text in lists and mappings, names included; other values as they are."""
        if isinstance(value, str):
            return self.rewrite(value)
        if isinstance(value, Mapping):
            return {self.rewrite(str(name)): self.rewrite_all(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.rewrite_all(item) for item in value]
        return value
