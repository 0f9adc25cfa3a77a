"""The form that creates a job."""

from __future__ import annotations

from collections.abc import Iterator
from tempfile import SpooledTemporaryFile

import pytest

from neuron_whisper.errors import InvalidOption, MissingOption, UnknownOption
from neuron_whisper.server.http.multipart import Form
from neuron_whisper.server.jobs.request import JobRequest, check_field, parse_job_form, to_audio_request


@pytest.fixture
def upload() -> Iterator[SpooledTemporaryFile[bytes]]:
    with SpooledTemporaryFile() as file:
        yield file


def test_the_fields_of_the_audio_api_stay_text(upload: SpooledTemporaryFile[bytes]) -> None:
    form = Form(texts={"task": ["translate"], "language": ["de"], "timestamp_granularities[]": ["word"]}, upload=upload)
    assert parse_job_form(form) == JobRequest(
        task="translate", url=None, webhook_url=None, fields={"language": ["de"], "timestamp_granularities[]": ["word"]}
    )


def test_audio_at_a_url_needs_no_upload() -> None:
    url = "https://files.example.org/a.mp3"
    hook = "https://app.example.org/hook"
    request = parse_job_form(Form(texts={"url": [url], "webhook_url": [hook]}))
    assert (request.task, request.url, request.webhook_url, request.fields) == ("transcribe", url, hook, {})


def test_a_form_without_audio_is_refused() -> None:
    with pytest.raises(MissingOption) as error:
        parse_job_form(Form(texts={"language": ["de"]}))
    assert error.value.field == "file"


def test_a_form_with_an_upload_and_a_url_is_refused(upload: SpooledTemporaryFile[bytes]) -> None:
    with pytest.raises(InvalidOption) as error:
        parse_job_form(Form(texts={"url": ["https://files.example.org/a.mp3"]}, upload=upload))
    assert error.value.field == "url"


def test_an_unknown_task_is_refused(upload: SpooledTemporaryFile[bytes]) -> None:
    with pytest.raises(InvalidOption) as error:
        parse_job_form(Form(texts={"task": ["summarise"]}, upload=upload))
    assert error.value.field == "task"


@pytest.mark.parametrize(("name", "field"), [("stream", "stream"), ("include[]", "include")])
def test_a_field_of_synchronous_requests_is_refused_with_the_reason(name: str, field: str) -> None:
    with pytest.raises(InvalidOption) as error:
        check_field(name, "x" * 1000)
    assert error.value.field == field
    assert len(str(error.value)) < 300


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(UnknownOption) as error:
        check_field("bean_size", "5")
    assert error.value.field == "bean_size"


@pytest.mark.parametrize("name", ["language", "beam_size", "url", "webhook_url", "task"])
def test_fields_of_the_audio_api_and_of_jobs_are_accepted(name: str) -> None:
    check_field(name, "5")


def test_stored_fields_are_parsed_as_the_audio_api_does() -> None:
    request = to_audio_request({"language": ["de"], "response_format": ["srt"]}, "translate", vad_filter=False)
    assert (request.options.language, request.options.task) == ("de", "translate")
    assert (request.response_format, request.options.vad_filter) == ("srt", False)
