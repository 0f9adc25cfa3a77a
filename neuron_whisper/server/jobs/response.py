"""The result of a job: its transcript in any response format."""

from __future__ import annotations

from dataclasses import replace

from litestar import Response

from neuron_whisper.formats.render import render
from neuron_whisper.server.audio.fields import RESPONSE_FORMATS
from neuron_whisper.server.audio.response import ResponseFormatter
from neuron_whisper.server.jobs.entities import Job
from neuron_whisper.server.jobs.request import to_audio_request
from neuron_whisper.transcript import Transcript

RESULT_FORMATS = (*RESPONSE_FORMATS, "tsv")
TSV_MEDIA_TYPE = "text/tab-separated-values"


def to_result_response(job: Job, transcript: Transcript, response_format: str) -> Response[bytes]:
    """The response that the audio API would give. Raises InvalidOption for subtitles that need missing word times."""
    if response_format == "tsv":
        return Response(render(transcript, "tsv").encode(), media_type=TSV_MEDIA_TYPE)
    request = replace(to_audio_request(job.fields, job.task, vad_filter=True), response_format=response_format)
    # only log-probabilities need the tokenizer, and jobs have none: the model need not be loaded for this
    return ResponseFormatter(request=request, tokenizer=None).format_response(transcript)  # type: ignore[arg-type]
