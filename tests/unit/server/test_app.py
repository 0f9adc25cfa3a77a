"""What the settings add to the application."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import neuron_whisper.server
from neuron_whisper.server import ServerSettings
from neuron_whisper.server.app import create_app
from tests.support.servers import TRANSCRIPTIONS, run_server
from tests.support.servers_with_keys import run_server_with_keys


def test_cors_is_for_configured_origins_only(tmp_path: Path) -> None:
    ours, other = "https://app.example.com", "https://evil.example.com"
    with run_server_with_keys(tmp_path, cors_origins=(ours,)) as it, it.server.client() as client:
        asking = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        allowed = client.options(TRANSCRIPTIONS, headers={"origin": ours, **asking})
        assert allowed.status_code == 204
        assert allowed.headers["access-control-allow-origin"] == ours
        denied = client.options(TRANSCRIPTIONS, headers={"origin": other, **asking})
        assert "access-control-allow-origin" not in denied.headers
        refused = it.get("/v1/models", origin=ours)
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == ours  # so that the page can read why
    with run_server() as server, server.client() as client:
        plain = client.get("/v1/models", headers={"origin": ours})
        assert not [name for name in plain.headers if "control-allow" in name]


def test_a_page_of_an_allowed_origin_may_send_any_header() -> None:
    ours = "https://app.example.com"
    asked = "authorization, content-type, x-stainless-lang, x-stainless-retry-count, openai-beta, traceparent"
    with run_server(ServerSettings(vad_filter=False, cors_origins=(ours, "app://*"))) as server:
        for origin in (ours, "app://obsidian.md"):
            asking = {"access-control-request-method": "POST", "access-control-request-headers": asked}
            with server.client() as client:
                allowed = client.options(TRANSCRIPTIONS, headers={"origin": origin, **asking})
            assert allowed.status_code == 204
            assert allowed.headers["access-control-allow-origin"] == origin
            granted = {name.strip().lower() for name in allowed.headers["access-control-allow-headers"].split(",")}
            assert set(asked.split(", ")) <= granted


def test_the_document_says_which_routes_need_a_key(tmp_path: Path) -> None:
    def wanting(document: dict[str, Any]) -> set[str]:
        operations = [(path, it) for path, item in document["paths"].items() for it in item.values()]
        return {path for path, it in operations if it.get("security")}

    with run_server_with_keys(tmp_path, model_admin=True, jobs_dir=tmp_path / "jobs") as it:
        document = it.get("/schema/openapi.json", it.user).json()
    paths = set(document["paths"])
    assert wanting(document) == {path for path in paths if path.startswith("/v1/")}
    assert {"/v1/models/load", "/v1/jobs", "/v1/audio/transcriptions"} < wanting(document) < paths
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    with run_server() as open_to_all, open_to_all.client() as client:
        document = client.get("/schema/openapi.json").json()
    assert not wanting(document)
    assert "securitySchemes" not in document["components"]


def test_the_package_gives_its_names_when_they_are_used_and_no_others() -> None:
    assert neuron_whisper.server.create_app is create_app
    with pytest.raises(AttributeError, match="create_apps"):
        getattr(neuron_whisper.server, "create_apps")  # noqa: B009 - mypy knows that there is none
