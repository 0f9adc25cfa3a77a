"""Names of a server."""

from __future__ import annotations

import pytest

from neuron_whisper.errors import InvalidOption
from neuron_whisper.server.http.hosts import AllowedHosts, is_any_address, is_loopback, parse_host


@pytest.mark.parametrize(
    ("host", "is_safe"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.com", False),
        ("127.0.0.1.example.com", False),
    ],
)
def test_loopback_addresses_are_recognized(host: str, is_safe: bool) -> None:
    assert is_loopback(host) == is_safe


def test_an_address_that_stands_for_all_is_recognized() -> None:
    assert [is_any_address(host) for host in ("0.0.0.0", "::", "127.0.0.1", "name")] == [True, True, False, False]


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost:8000", "localhost"),
        ("LOCALHOST.", "localhost"),
        ("[::1]:8000", "::1"),
        ("a.example", "a.example"),
        ("user@localhost", "localhost"),
        ("[::1", ""),
        ("", ""),
    ],
)
def test_a_host_is_its_name_without_the_port(header: str, name: str) -> None:
    assert parse_host(header) == name


@pytest.mark.parametrize(
    ("entries", "host", "is_allowed"),
    [
        ((), "localhost:8000", True),
        ((), "127.0.0.1:8000", True),
        ((), "127.8.8.8", True),
        ((), "[::1]:8000", True),
        ((), "speech.localhost", True),
        ((), "host.docker.internal:8000", True),
        ((), "10.0.0.7:8000", True),
        ((), "evil.example:8000", False),
        ((), "localhost.evil.example", False),
        ((), "evil-localhost", False),
        ((), "127.0.0.1.evil.example", False),
        ((), "10.0.0.8", False),
        ((), "", False),
        (("speech.example.com",), "speech.example.com", True),
        (("Speech.Example.com",), "SPEECH.example.com:443", True),
        (("speech.example.com",), "x.speech.example.com", False),
        (("*.example.com",), "a.b.example.com", True),
        (("*.example.com",), "example.com", False),
        (("*.example.com",), "evilexample.com", False),
        (("[fd00::7]",), "[fd00::7]:80", True),
        (("*",), "anything.example", True),
    ],
)
def test_hosts_are_allowed_by_name(entries: tuple[str, ...], host: str, is_allowed: bool) -> None:
    assert AllowedHosts(entries).allows(host, local_address="10.0.0.7") == is_allowed


@pytest.mark.parametrize("entry", ["http://a.example", "a.example:80", "a.example/b", "", "a b", "*a.example", "a.*"])
def test_what_is_no_host_name_is_refused(entry: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        AllowedHosts((entry,))
    assert caught.value.field == "allowed_hosts"
