"""The form that creates a job. Its values are stored as text and parsed again when the job runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from neuron_whisper.errors import InvalidOption, MissingOption
from neuron_whisper.server.audio.fields import TRANSCRIPTIONS, TRANSLATIONS, AudioForm
from neuron_whisper.server.audio.request import AudioRequest
from neuron_whisper.server.http.field_types import TEXT, FormField, choice, truncate
from neuron_whisper.server.http.multipart import Form

AUDIO_FORMS: Mapping[str, AudioForm] = {form.task: form for form in (TRANSCRIPTIONS, TRANSLATIONS)}

# fields that concern the single response of a synchronous request
UNSUPPORTED_FIELDS: Mapping[str, str] = {
    "stream": "not supported here: GET /v1/jobs/{id} has the progress of a job",
    "include": "not supported here: a job stores no log-probabilities of tokens",
}
TASK = FormField(
    name="task", field_type=choice(*AUDIO_FORMS), description="transcribe (default), or translate (into English)."
)
URL = FormField(
    name="url",
    field_type=TEXT,
    examples=["https://files.example.org/talk.mp3"],
    description="URL of the audio, in place of the file; its origin must be allowed. Redirects are not followed.",
)
WEBHOOK = FormField(
    name="webhook_url",
    field_type=TEXT,
    examples=["https://app.example.org/hooks/transcripts"],
    description="URL that receives a JobEvent when the job has ended, signed with HMAC-SHA256 in the headers "
    "webhook-id, webhook-timestamp and webhook-signature (standardwebhooks.com). It is sent up to 8 times, with the "
    "same id, until the response is 2xx.",
)
JOB_FIELDS = (TASK, URL, WEBHOOK)
JOB_FORM = replace(
    TRANSCRIPTIONS,
    fields=(*(field for field in TRANSCRIPTIONS.fields if field.name not in UNSUPPORTED_FIELDS), *JOB_FIELDS),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """A parsed job form. `fields` are the audio API's fields as text; the audio is at `url` or in the upload."""

    task: str
    url: str | None
    webhook_url: str | None
    fields: dict[str, list[str]]


def check_field(name: str, value: str) -> None:
    """Raises InvalidOption for a field that jobs do not support."""
    bare_name = name.removesuffix("[]")
    if bare_name in UNSUPPORTED_FIELDS:
        raise InvalidOption(bare_name, truncate(value), UNSUPPORTED_FIELDS[bare_name])
    JOB_FORM.check_field(name, value)


def parse_job_form(form: Form) -> JobRequest:
    """Parse the fields of a job's own and keep the others as text. Raises InvalidOption."""
    own = {field.name: field.parse(form.texts) for field in JOB_FIELDS if field.is_given(form.texts)}
    if form.upload is not None and "url" in own:
        raise InvalidOption("url", truncate(own["url"]), "send either 'file' or 'url', not both")
    if form.upload is None and "url" not in own:
        raise MissingOption("file", "send the audio as the form field 'file', or its URL as 'url'")
    return JobRequest(
        task=own.get("task", TRANSCRIPTIONS.task),
        url=own.get("url"),
        webhook_url=own.get("webhook_url"),
        fields={name: texts for name, texts in form.texts.items() if name not in [field.name for field in JOB_FIELDS]},
    )


def to_audio_request(fields: Mapping[str, list[str]], task: str, *, vad_filter: bool) -> AudioRequest:
    """Parse stored fields as the audio API does. Raises InvalidOption."""
    return AudioRequest.from_form(Form(texts=dict(fields)), AUDIO_FORMS[task], vad_filter=vad_filter)
