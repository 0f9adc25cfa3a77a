"""The server process."""

from __future__ import annotations

import socket

import pytest

from neuron_whisper.server import ServerSettings
from neuron_whisper.server.run import _is_loopback, _listen


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


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here: that :: takes IPv4 too is not proved")
def test_all_addresses_of_ipv6_are_those_of_ipv4_too() -> None:
    with _listen(ServerSettings(host="::", port=0)) as listener:
        port = listener.getsockname()[1]
        for address in ("127.0.0.1", "::1"):
            with socket.create_connection((address, port), timeout=5):
                pass


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_a_single_address_has_its_own_family(host: str, family: socket.AddressFamily) -> None:
    with _listen(ServerSettings(host=host, port=0)) as listener:
        assert listener.family == family
