"""Which origins a page may have."""

from __future__ import annotations

import pytest

from neuron_whisper.errors import InvalidOption
from neuron_whisper.server.http.origins import PageOrigins


@pytest.mark.parametrize(
    ("entries", "origin"),
    [
        (("https://app.example.com",), "https://app.example.com"),
        (("https://App.Example.com",), "https://app.example.COM"),
        (("https://*.example.com",), "https://a.b.example.com"),
        (("http://localhost:*",), "http://localhost:5173"),
        (("app://obsidian.md",), "app://obsidian.md"),
        (("tauri://localhost", "file://"), "file://"),
        (("chrome-extension://*",), "chrome-extension://abcdefgh"),
        (("null",), "null"),
        (("*",), "null"),
    ],
)
def test_a_listed_origin_is_allowed(entries: tuple[str, ...], origin: str) -> None:
    assert PageOrigins(entries).allows(origin, "127.0.0.1:8000")


@pytest.mark.parametrize(
    ("entries", "origin"),
    [
        ((), "null"),
        ((), "file://"),
        (("https://*.example.com",), "https://example.com"),
        (("https://*.example.com",), "https://evil.com/.example.com"),
        (("https://app.example.com",), "https://app-example.com"),
        (("https://app.example.com",), "http://app.example.com"),
        (("https://app.example.com",), "https://app.example.com.evil.com"),
        ((), "http://[::1"),
    ],
)
def test_another_origin_is_not(entries: tuple[str, ...], origin: str) -> None:
    assert not PageOrigins(entries).allows(origin, "127.0.0.1:8000")


def test_a_request_of_no_page_and_one_of_the_servers_own_are_allowed() -> None:
    origins = PageOrigins()
    assert origins.allows(None, "127.0.0.1:8000")
    assert origins.allows("http://Speech.local:8000", "speech.local:8000")
    assert not origins.allows("http://speech.local:9000", "speech.local:8000")
    assert not origins.allows("file://", "")


@pytest.mark.parametrize("entry", ["app.example.com", "https://a.example.com/path", "https://", "https://a b", ""])
def test_what_is_no_origin_is_refused(entry: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        PageOrigins((entry,))
    assert caught.value.field == "cors_origins"
