"""The server process."""

from __future__ import annotations

import pytest

from neuron_whisper.server.run import _is_loopback


@pytest.mark.parametrize(
    ("host", "is_safe"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.com", False),
    ],
)
def test_loopback_addresses_are_recognized(host: str, is_safe: bool) -> None:
    assert _is_loopback(host) == is_safe
