"""Hosts and origins of requests; tests/integration/test_browsers.py has them on a server."""

from __future__ import annotations

from typing import Any, cast

from neuron_whisper.server.http.browser_checks import create_browser_checks
from neuron_whisper.server.http.errors import HostNotAllowed, OriginNotAllowed


def refuse(
    method: str = "POST",
    *,
    listens_on: str = "127.0.0.1",
    has_keys: bool = False,
    hosts: tuple[str, ...] = (),
    origins: tuple[str, ...] = (),
    host: str = "",
    origin: str = "",
    fetch_site: str = "",
) -> str:
    """What a request with these headers is refused for: "host", "origin" or ""."""
    checks = create_browser_checks(
        allowed_hosts=hosts, allowed_origins=origins, listens_on=listens_on, has_keys=has_keys
    )
    headers = {b"host": host, b"origin": origin, b"sec-fetch-site": fetch_site}
    scope = {
        "type": "http",
        "method": method,
        "server": ("127.0.0.1", 8000),
        "headers": [(name, value.encode()) for name, value in headers.items() if value],
    }
    try:
        checks.check(cast("Any", scope))
    except HostNotAllowed:
        return "host"
    except OriginNotAllowed:
        return "origin"
    return ""


def test_hosts_are_checked_on_loopback_without_keys_and_where_they_are_listed() -> None:
    assert refuse(host="evil.example") == "host"
    assert refuse("GET", host="evil.example") == "host"
    assert refuse(host="evil.example", has_keys=True) == ""
    assert refuse(host="evil.example", listens_on="0.0.0.0") == ""
    assert refuse(host="evil.example", listens_on="0.0.0.0", hosts=("a.example",)) == "host"
    assert refuse(host="evil.example", has_keys=True, hosts=("a.example",)) == "host"
    assert refuse(host="a.example", hosts=("a.example",)) == ""
    assert refuse(host="speech.lan", listens_on="speech.lan", hosts=("a.example",)) == ""
    assert refuse() == ""  # HTTP/1.0 without a Host is no browser


def test_a_page_of_another_origin_changes_nothing_without_keys() -> None:
    host, evil = "localhost:8000", "https://evil.example"
    assert [refuse(method, host=host, origin=evil) for method in ("POST", "DELETE", "PUT")] == ["origin"] * 3
    assert [refuse(method, host=host, origin=evil) for method in ("GET", "HEAD", "OPTIONS")] == [""] * 3
    assert refuse(host=host, origin="null") == "origin"
    assert refuse(host=host, origin="http://localhost:9000") == "origin"
    assert refuse(host=host, origin=evil, has_keys=True) == ""
    assert refuse(host=host, origin=evil, origins=(evil,)) == ""


def test_the_servers_own_page_and_clients_without_an_origin_are_served() -> None:
    assert refuse(host="localhost:8000", origin="http://localhost:8000") == ""
    assert refuse(host="localhost:8000") == ""
    # behind a proxy that sends another Host
    assert refuse(host="127.0.0.1:8000", origin="https://speech.example.com", fetch_site="same-origin") == ""
    assert refuse(host="127.0.0.1:8000", origin="https://evil.example", fetch_site="cross-site") == "origin"
