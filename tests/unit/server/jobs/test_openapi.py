"""The OpenAPI document of the job routes."""

from __future__ import annotations

import httpx

from tests.support.job_clients import JOBS


def test_the_openapi_document_describes_jobs_with_examples(client: httpx.Client) -> None:
    document = client.get("/schema/openapi.json").json()
    creation = document["paths"][JOBS]["post"]
    body = creation["requestBody"]["content"]["multipart/form-data"]
    assert {"file", "url", "task", "webhook_url", "language", "beam_size"} <= set(body["schema"]["properties"])
    assert not {"stream", "include[]"} & set(body["schema"]["properties"])
    assert body["examples"]
    assert creation["responses"].keys() == {"200", "201", "400", "404", "409", "413", "500", "503", "507"}
    assert creation["responses"]["201"]["content"]["application/json"]["examples"]
    listed = document["paths"][JOBS]["get"]
    assert {it["name"] for it in listed["parameters"]} == {"limit", "after", "status"}


def test_a_result_has_every_media_type(client: httpx.Client) -> None:
    paths = client.get("/schema/openapi.json").json()["paths"]
    content = paths["/v1/jobs/{job_id}/result"]["get"]["responses"]["200"]["content"]
    assert content.keys() == {"application/json", "text/plain", "text/vtt", "text/tab-separated-values"}
