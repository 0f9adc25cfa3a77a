"""Which URLs and addresses a client may make the server send requests to."""

from __future__ import annotations

import asyncio
import ipaddress

import pytest

from neuron_whisper.errors import InvalidOption
from neuron_whisper.server.jobs.outbound import (
    AllowedOrigins,
    PermanentUrlFailure,
    RestrictedHttpClient,
    is_allowed_address,
    parse_private_networks,
)
from tests.support.job_clients import run_remote_server

ALLOWED = AllowedOrigins("origins", ("files.example.org", "*.cdn.example.org", "http://10.0.0.5:9000"))


@pytest.mark.parametrize(
    "url",
    [
        "https://files.example.org/a.mp3?x=1",
        "https://FILES.example.org:443/a",
        "https://files.example.org./a",
        "https://a.b.cdn.example.org/",
        "http://10.0.0.5:9000/a",
    ],
)
def test_a_url_of_an_allowed_origin_is_accepted(url: str) -> None:
    assert ALLOWED.check("url", url) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://files.example.org/a",
        "https://files.example.org:8443/a",
        "https://cdn.example.org/",
        "https://evilcdn.example.org/",
        "https://files.example.org.evil.net/",
        "https://user@files.example.org/",
        "https://files.example.org@evil.net/",
        "https://files.example.org\\@evil.net/",
        "ftp://files.example.org/",
        "file:///etc/passwd",
        "//files.example.org/a",
        "files.example.org",
        "https://files.example.org:port/",
        "https://files.exa mple.org/",
        "https://files.example.org/\n",
        "https://ﬁles.example.org/",
        "",
        "https:///a",
        "https://files.example.org/" + "a" * 3000,
        "http://10.0.0.5/",
        "http://[::1]:9000/",
        "https://*.cdn.example.org/",
    ],
)
def test_any_other_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidOption) as error:
        ALLOWED.check("url", url)
    assert error.value.field == "url"


@pytest.mark.parametrize("entry", ["", "https://a.example.org/path", "ftp://a.example.org", "https://user@a", "a b"])
def test_an_invalid_origin_is_refused_with_the_name_of_its_setting(entry: str) -> None:
    with pytest.raises(InvalidOption) as error:
        AllowedOrigins("origins", (entry,))
    assert error.value.field == "origins"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "0.0.0.0",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "fe80::1",
        "fd00::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        "ff02::1",
        "::",
    ],
)
def test_addresses_that_are_not_public_are_not_allowed(address: str) -> None:
    assert not is_allowed_address(ipaddress.ip_address(address), ())


def test_public_addresses_and_those_of_allowed_networks_are_allowed() -> None:
    assert is_allowed_address(ipaddress.ip_address("93.184.215.14"), ())
    assert is_allowed_address(ipaddress.ip_address("2606:2800:21f:cb07::1"), ())
    networks = parse_private_networks(("10.1.0.0/16", "fd00::/8"))
    assert is_allowed_address(ipaddress.ip_address("10.1.2.3"), networks)
    assert is_allowed_address(ipaddress.ip_address("::ffff:10.1.2.3"), networks)
    assert not is_allowed_address(ipaddress.ip_address("10.2.0.1"), networks)


def test_a_network_with_host_bits_is_refused() -> None:
    with pytest.raises(InvalidOption) as error:
        parse_private_networks(("10.1.2.3/16",))
    assert error.value.field == "private_networks"


def test_without_origins_no_url_is_allowed() -> None:
    assert not AllowedOrigins("origins", ())
    with pytest.raises(InvalidOption):
        AllowedOrigins("origins", ()).check("url", "https://files.example.org/a")


@pytest.mark.parametrize("allowed_networks", [(), parse_private_networks(("127.0.0.0/8",))], ids=["none", "loopback"])
def test_the_client_connects_to_loopback_only_where_that_network_is_allowed(
    allowed_networks: tuple[ipaddress.IPv4Network, ...],
) -> None:
    async def get(url: str) -> int:
        client = RestrictedHttpClient(allowed_networks)
        try:
            async with client.send("GET", url) as response:
                return response.status
        finally:
            await client.close()

    with run_remote_server() as remote:
        if allowed_networks:
            assert asyncio.run(get(remote.url)) == 404
        else:
            with pytest.raises(PermanentUrlFailure):
                asyncio.run(get(remote.url))
            assert remote.requested_paths == []
