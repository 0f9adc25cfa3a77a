"""The server process."""

from __future__ import annotations

import logging
import socket

import pytest

from neuron_whisper.server import ServerSettings
from neuron_whisper.server.run import _listen, _warn_if_no_keys
from tests.support.servers import RunningServer


@pytest.mark.parametrize(("host", "n_warnings"), [("127.0.0.1", 0), ("localhost", 0), ("0.0.0.0", 1), ("::", 1)])
def test_a_server_without_keys_that_others_reach_is_warned_of(
    host: str, n_warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    _warn_if_no_keys(ServerSettings(host=host))
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * n_warnings


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


def test_what_is_written_is_sent_at_once(server: RunningServer) -> None:
    with server.client() as client:
        for _ in range(3):
            assert client.get("/health/live").status_code == 200
        connections = list(server.server.server_state.connections)
        sockets = [connection.transport.get_extra_info("socket") for connection in connections]
        assert sockets
        assert all(it.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for it in sockets)
