"""The form that makes a job, and its texts as they are read again when the job runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from neuron_whisper.errors import InvalidOption, MissingOption
from neuron_whisper.server.audio.fields import TRANSCRIPTIONS, TRANSLATIONS, AudioForm
from neuron_whisper.server.audio.request import AudioRequest
from neuron_whisper.server.http.field_types import TEXT, FormField, choice, truncate
from neuron_whisper.server.http.multipart import Form

AUDIO_FORMS: Mapping[str, AudioForm] = {form.task: form for form in (TRANSCRIPTIONS, TRANSLATIONS)}

# what is about the one answer that a request gets
UNSUPPORTED_FIELDS: Mapping[str, str] = {
    "stream": "not supported here: a job tells how far it is at GET /v1/jobs/{id}",
    "include": "not supported here: a job keeps the text, not the log-probability of every token",
}
TASK = FormField(
    name="task", field_type=choice(*AUDIO_FORMS), description="transcribe, the default; translate: into English."
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
    description="Told when the job has ended: a JobEvent, signed with HMAC-SHA256 in the headers webhook-id, "
    "webhook-timestamp and webhook-signature (standardwebhooks.com). Sent again until it is answered with 2xx, 8 times "
    "at most, always with the same id.",
)
JOB_FIELDS = (TASK, URL, WEBHOOK)
JOB_FORM = replace(
    TRANSCRIPTIONS,
    fields=(*(field for field in TRANSCRIPTIONS.fields if field.name not in UNSUPPORTED_FIELDS), *JOB_FIELDS),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """What a form asks for. `fields` are the texts of the audio API's; there is a `url` or an upload."""

    task: str
    url: str | None
    webhook_url: str | None
    fields: dict[str, list[str]]


def check_field(name: str, value: str) -> None:
    """Raises InvalidOption for a field that a job does not take."""
    plain = name.removesuffix("[]")
    if plain in UNSUPPORTED_FIELDS:
        raise InvalidOption(plain, truncate(value), UNSUPPORTED_FIELDS[plain])
    JOB_FORM.check_field(name, value)


def parse_job_form(form: Form) -> JobRequest:
    """Raises InvalidOption."""
    own = {field.name: field.parse(form.texts) for field in JOB_FIELDS if field.is_given(form.texts)}
    if (form.upload is None) == ("url" not in own):
        raise MissingOption("file", "send the audio as the form field 'file', or its address as 'url'")
    return JobRequest(
        task=own.get("task", TRANSCRIPTIONS.task),
        url=own.get("url"),
        webhook_url=own.get("webhook_url"),
        fields={name: texts for name, texts in form.texts.items() if name not in [field.name for field in JOB_FIELDS]},
    )


def to_audio_request(fields: Mapping[str, list[str]], task: str, *, vad_filter: bool) -> AudioRequest:
    """What the audio API makes of these texts. Raises InvalidOption."""
    return AudioRequest.from_form(Form(texts=dict(fields)), AUDIO_FORMS[task], vad_filter=vad_filter)
