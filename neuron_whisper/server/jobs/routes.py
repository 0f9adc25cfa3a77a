"""/v1/jobs: long files transcribed in the background."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any

import msgspec
from litestar import HttpMethod, Request, Response, delete, get, post, route
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.spec import Example
from litestar.params import FromPath, Parameter

from neuron_whisper.errors import InvalidOption
from neuron_whisper.server.audio.peaks import PEAKS_PER_SECOND
from neuron_whisper.server.audio.schemas import Byte
from neuron_whisper.server.http.multipart import Form, read_form
from neuron_whisper.server.http.request_context import RequestContext
from neuron_whisper.server.jobs.entities import STATUSES, Job, JobStatus
from neuron_whisper.server.jobs.openapi import (
    CreateJobOperation,
    JobOperation,
    JobResponseOperation,
    JobResultOperation,
)
from neuron_whisper.server.jobs.request import check_field, parse_job_form
from neuron_whisper.server.jobs.response import RESULT_FORMATS, to_result_response
from neuron_whisper.server.jobs.schemas import JobResponse, SegmentResponse, to_job_response, to_segment_response
from neuron_whisper.server.jobs.service import JobService, JobView
from neuron_whisper.server.state import ServerState

AnyRequest = Request[Any, Any, Any]

IDEMPOTENCY_KEY_PATTERN = re.compile(r"[\x21-\x7e]{1,128}")
MAX_PAGE_SIZE = 100


class JobList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of jobs, the newest first. With `has_more`, the next page is at after=`last_id`."""

    data: list[JobResponse]
    has_more: bool
    first_id: str | None
    last_id: str | None
    object: str = "list"


class SegmentList(msgspec.Struct, frozen=True, kw_only=True):
    """Segments of a running or succeeded job, from number `after` on."""

    data: list[SegmentResponse]
    status: JobStatus
    object: str = "list"


class JobPeaks(msgspec.Struct, frozen=True, kw_only=True):
    """The waveform of a job's audio: the largest |sample| of each twentieth of a second; 255 is full scale."""

    peaks: list[Byte]
    peaks_per_second: int = PEAKS_PER_SECOND
    object: str = "job.peaks"


class JobDeleted(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    deleted: bool = True
    object: str = "job.deleted"


async def _receive_job(
    request: AnyRequest, jobs: JobService, owner: str, idempotency_key: str | None, size_bytes: int
) -> Job:
    """Read the form and store its job. Raises InputError, CapacityError."""
    usage = await jobs.measure_usage(owner)
    with (
        jobs.reserve_upload(owner, usage, size_bytes) as incoming,
        Form(upload_dir=str(jobs.uploads_directory), count_upload=incoming.count) as form,
    ):
        await read_form(request, form, check_field, jobs.settings.jobs_max_upload_bytes)
        job_request = parse_job_form(form)
        upload = form.take_upload() if form.upload is not None else None
        job = await jobs.add(
            job_request, owner=owner, idempotency_key=idempotency_key, upload=upload, upload_name=form.upload_name
        )
        RequestContext.from_scope(request.scope).log_fields |= {"job": job.id, "upload_bytes": form.upload_bytes}
        return job


def _get_job_service(server_state: ServerState) -> JobService:
    assert server_state.jobs is not None, "the routes exist only with jobs_dir"
    return server_state.jobs


def _get_owner(request: AnyRequest) -> str:
    """Id of the API key of the request; a key has access to its own jobs only."""
    client = RequestContext.from_scope(request.scope).client
    return client.id if client is not None and client.has_key else ""


def _to_response(jobs: JobService, view: JobView) -> JobResponse:
    return to_job_response(
        view.job, running=view.running, delivery=view.delivery, retention_s=jobs.settings.jobs_retention_s
    )


@post(
    "/v1/jobs",
    status_code=201,
    operation_class=CreateJobOperation,
    tags=["jobs"],
    operation_id="createJob",
    summary="Transcribe a long file in the background",
)
async def create_job(request: AnyRequest, server_state: NamedDependency[ServerState]) -> Response[JobResponse]:
    jobs, owner = _get_job_service(server_state), _get_owner(request)
    key = request.headers.get("idempotency-key")
    if key is not None and not IDEMPOTENCY_KEY_PATTERN.fullmatch(key):
        raise InvalidOption("Idempotency-Key", key[:80], "use 1 to 128 printable ASCII characters without spaces")
    header = request.headers.get("content-length", "")
    size_bytes = int(header) if re.fullmatch("[0-9]{1,18}", header) else 0
    with server_state.track_request():
        existing = await jobs.find_by_idempotency_key(owner, key)
        job = existing or await _receive_job(request, jobs, owner, key, size_bytes)
    body = _to_response(jobs, JobView(job=job))
    return Response(
        body,
        headers={"location": f"{server_state.settings.root_path}/v1/jobs/{job.id}"},
        status_code=201 if existing is None else 200,
    )


@get(
    "/v1/jobs", tags=["jobs"], operation_id="listJobs", operation_class=JobOperation, summary="List jobs, newest first"
)
async def list_jobs(
    request: AnyRequest,
    server_state: NamedDependency[ServerState],
    limit: Annotated[int, Parameter(ge=1, le=MAX_PAGE_SIZE, description="Maximum number of jobs on the page.")] = 20,
    after: Annotated[str | None, Parameter(description="Last id of the previous page.")] = None,
    status: Annotated[
        str | None, Parameter(description="Only jobs with this status.", schema_extra={"enum": list(STATUSES)})
    ] = None,
) -> JobList:
    jobs = _get_job_service(server_state)
    checked_status = next((known for known in STATUSES if known == status), None)
    if status is not None and checked_status is None:
        raise InvalidOption("status", status[:80], f"use one of {', '.join(STATUSES)}")
    views = await jobs.list_page(_get_owner(request), limit=limit + 1, after=after, status=checked_status)
    page = [_to_response(jobs, view) for view in views[:limit]]
    return JobList(
        data=page,
        has_more=len(views) > limit,
        first_id=page[0].id if page else None,
        last_id=page[-1].id if page else None,
    )


@get(
    "/v1/jobs/{job_id:str}",
    tags=["jobs"],
    operation_id="retrieveJob",
    operation_class=JobResponseOperation,
    summary="Get a job and its progress",
)
async def retrieve_job(
    request: AnyRequest, server_state: NamedDependency[ServerState], job_id: FromPath[str]
) -> JobResponse:
    jobs = _get_job_service(server_state)
    return _to_response(jobs, await jobs.get(job_id, _get_owner(request)))


@get(
    "/v1/jobs/{job_id:str}/segments",
    tags=["jobs"],
    operation_id="listJobSegments",
    operation_class=JobOperation,
    summary="List the segments transcribed so far",
)
async def list_segments(
    request: AnyRequest,
    server_state: NamedDependency[ServerState],
    job_id: FromPath[str],
    after: Annotated[
        int, Parameter(ge=0, le=2**31, description="Number of segments to skip, which the client has already.")
    ] = 0,
) -> SegmentList:
    jobs = _get_job_service(server_state)
    view = await jobs.get(job_id, _get_owner(request))
    segments = [] if view.running is None else view.running.segments
    if view.job.status == "succeeded":
        _, transcript = await jobs.get_transcript(job_id, _get_owner(request))
        segments = list(transcript.segments)
    # in a thread: hours of words
    data = await asyncio.to_thread(lambda: [to_segment_response(segment) for segment in segments[after:]])
    return SegmentList(data=data, status=view.job.status)


@get(
    "/v1/jobs/{job_id:str}/result",
    tags=["jobs"],
    operation_id="retrieveJobResult",
    operation_class=JobResultOperation,
    summary="Get the transcript of a succeeded job in any format",
)
async def retrieve_result(
    request: AnyRequest,
    server_state: NamedDependency[ServerState],
    job_id: FromPath[str],
    format: Annotated[  # the name in the URL
        str | None,
        Parameter(
            description="Response format (default: the response_format of the job).",
            schema_extra={"enum": list(RESULT_FORMATS)},
            examples=[Example(value="srt")],
        ),
    ] = None,
) -> Response[bytes]:
    jobs = _get_job_service(server_state)
    if format is not None and format not in RESULT_FORMATS:
        raise InvalidOption("format", format[:80], f"use one of {', '.join(RESULT_FORMATS)}")
    job, transcript = await jobs.get_transcript(job_id, _get_owner(request))
    return await asyncio.to_thread(to_result_response, job, transcript, format or job.response_format)


@get(
    "/v1/jobs/{job_id:str}/peaks",
    tags=["jobs"],
    operation_id="retrieveJobPeaks",
    operation_class=JobOperation,
    summary="Get the waveform of a job's audio, as soon as it is decoded",
)
async def retrieve_peaks(
    request: AnyRequest, server_state: NamedDependency[ServerState], job_id: FromPath[str]
) -> JobPeaks:
    peaks = await _get_job_service(server_state).get_peaks(job_id, _get_owner(request))
    return JobPeaks(peaks=list(peaks))


@post(
    "/v1/jobs/{job_id:str}/cancel",
    status_code=200,
    tags=["jobs"],
    operation_id="cancelJob",
    operation_class=JobResponseOperation,
    summary="Cancel a job",
)
async def cancel_job(
    request: AnyRequest, server_state: NamedDependency[ServerState], job_id: FromPath[str]
) -> JobResponse:
    jobs = _get_job_service(server_state)
    return _to_response(jobs, await jobs.cancel(job_id, _get_owner(request)))


@delete(
    "/v1/jobs/{job_id:str}",
    status_code=200,
    tags=["jobs"],
    operation_id="deleteJob",
    operation_class=JobOperation,
    summary="Delete a job and its result; a job that has not ended is cancelled first",
)
async def delete_job(
    request: AnyRequest, server_state: NamedDependency[ServerState], job_id: FromPath[str]
) -> JobDeleted:
    await _get_job_service(server_state).delete(job_id, _get_owner(request))
    return JobDeleted(id=job_id)


def _make_options_handler(path: str, *methods: str) -> HTTPRouteHandler:
    """Handler for OPTIONS of a path with several methods: Litestar's own names the first method only."""

    @route(path, http_method=HttpMethod.OPTIONS, include_in_schema=False, status_code=204)
    async def options() -> Response[None]:
        return Response(None, headers={"allow": ", ".join(sorted({*methods, "HEAD", "OPTIONS"}))})

    return options


JOB_ROUTES = (
    _make_options_handler("/v1/jobs", "GET", "POST"),
    _make_options_handler("/v1/jobs/{job_id:str}", "GET", "DELETE"),
    create_job,
    list_jobs,
    retrieve_job,
    list_segments,
    retrieve_result,
    retrieve_peaks,
    cancel_job,
    delete_job,
)
