"""A job's transcript in any of the response formats."""

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
    """What the audio API would have answered. Raises InvalidOption where subtitles lack word times."""
    if response_format == "tsv":
        return Response(render(transcript, "tsv").encode(), media_type=TSV_MEDIA_TYPE)
    asked = replace(to_audio_request(job.fields, job.task, vad_filter=True), response_format=response_format)
    # the tokenizer is for log-probabilities, which a job's form does not take: its model need not be loaded for this
    return ResponseFormatter(request=asked, tokenizer=None).format_response(transcript)  # type: ignore[arg-type]
