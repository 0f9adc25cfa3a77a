"""The OpenAPI document of the server on SageMaker."""

from __future__ import annotations

from neuron_whisper.server import ServerSettings, create_app
from neuron_whisper.transcriber import Transcriber


def test_invocations_and_ping_are_described_where_they_are_served(transcriber: Transcriber) -> None:
    paths = create_app(transcriber, ServerSettings(compat="sagemaker")).openapi_schema.to_schema()["paths"]
    operation = paths["/invocations"]["post"]
    content = operation["requestBody"]["content"]
    assert set(content) == {"audio/*", "application/octet-stream", "application/json", "multipart/form-data"}
    assert "task" in content["multipart/form-data"]["schema"]["properties"]
    assert [(it["name"], it["in"]) for it in operation["parameters"]] == [
        ("x-amzn-sagemaker-custom-attributes", "header")
    ]
    assert {"200", "400", "413", "415", "429", "503", "504"} <= set(operation["responses"])
    assert {"200", "503"} <= set(paths["/ping"]["get"]["responses"])


def test_without_the_setting_they_are_not_described(transcriber: Transcriber) -> None:
    paths = create_app(transcriber, ServerSettings()).openapi_schema.to_schema()["paths"]
    assert not {"/ping", "/invocations"} & set(paths)
