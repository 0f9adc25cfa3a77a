"""Errors as HTTP responses in OpenAI's format. The only place that maps error classes to status codes."""

from __future__ import annotations

import errno
import logging
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from neuron_whisper.errors import (
    AudioTooCostly,
    AudioTooLarge,
    AudioTooLong,
    AudioUnreadable,
    CapacityError,
    ClientBusy,
    DeadlineExceeded,
    DecoderUnavailable,
    DeviceError,
    EngineDraining,
    InputError,
    InvalidJobState,
    InvalidOption,
    JobsFull,
    ModelUnavailable,
    Overloaded,
    QueueFull,
    StorageFull,
    TextTooLong,
    UnknownJob,
    UnknownModel,
    UrlFetchFailed,
)
from neuron_whisper.server.http.body_headers import IDENTITY, AmbiguousLength, UnsupportedEncoding
from neuron_whisper.server.http.request_context import STATE_KEY, RequestContext

log = logging.getLogger(__name__)

CLIENT_CLOSED_REQUEST = 499  # nginx's code; it is logged, never sent
DISK_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
INVALID_REQUEST = "invalid_request_error"
SERVER_ERROR = "server_error"
TEXT_TOO_LONG = "text_too_long"
AMBIGUOUS_LENGTH = "ambiguous_length"
CHUNKS_TOO_SMALL = "chunks_too_small"
HEADERS_TOO_LARGE = "headers_too_large"
INVALID_HTTP = "invalid_http"
DEVICE_RETRY_AFTER_S = 5


class ClientDisconnected(Exception):
    """The client closed its connection before the response was complete."""


class UploadTooSlow(Exception):
    """The body of a request paused or arrived too slowly."""


class RefusedBody(Exception):
    """The connection does not read the rest of a request's body; `code` of the error says why."""

    def __init__(self, message: str, code: str) -> None:
        self.code = code
        super().__init__(message)


class AuthenticationFailed(Exception):
    """The request has no API key, or (`key_was_sent`) an unknown one."""

    def __init__(self, *, key_was_sent: bool) -> None:
        self.key_was_sent = key_was_sent
        super().__init__(
            "invalid API key" if key_was_sent else "missing API key; send the header Authorization: Bearer KEY"
        )


class PermissionDenied(Exception):
    """The API key is valid but lacks the permission."""


class HostNotAllowed(Exception):
    """The request names a host that this server is not reached by."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"host: {host!r} is not a name of this server; the operator allows it with --allowed-hosts, also where a "
            "proxy passes it on"
        )


class OriginNotAllowed(Exception):
    """A page of another origin sent the request."""

    def __init__(self, origin: str) -> None:
        super().__init__(f"origin {origin!r} is not allowed; the server's operator allows it with --cors-origins")


class PeaksUnavailable(Exception):
    """Job `job_id` has no waveform, or has none yet."""

    def __init__(self, job_id: str, reason: str) -> None:
        super().__init__(f"job {job_id} has no peaks: {reason}")


class UnsupportedMediaType(Exception):
    """The body has another type than the route reads."""


def make_error_response(
    status: int,
    message: str,
    *,
    param: str | None = None,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response[dict[str, Any]]:
    """{"error": {"message", "type", "param", "code"}}: all four keys, as OpenAI's schema requires."""
    kind = INVALID_REQUEST if status < HTTPStatus.INTERNAL_SERVER_ERROR else SERVER_ERROR
    error = {"message": message, "type": kind, "param": param, "code": code}
    return Response({"error": error}, status_code=status, media_type="application/json", headers=dict(headers or {}))


def handle_exception(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    """The response for `error`, in OpenAI's format. Internal errors are sent without details."""
    response = _to_error_response(error, request)
    context = request.scope.get("state", {}).get(STATE_KEY)
    if isinstance(context, RequestContext):  # for the log line, and metrics count rejections by code
        content = response.content["error"]
        context.error_code = content["code"] or str(response.status_code)
        context.error_field = content["param"] or ""
    return response


def _to_error_response(error: Exception, request: Request[Any, Any, Any] | None = None) -> Response[dict[str, Any]]:
    match error:
        case TextTooLong():
            return make_error_response(400, str(error), param=error.field, code=TEXT_TOO_LONG)
        case InvalidOption():
            return make_error_response(400, str(error), param=error.field, code="invalid_value")
        case AudioUnreadable():
            return make_error_response(400, str(error), param="file", code="audio_unreadable")
        case AudioTooLong():
            return make_error_response(413, str(error), param="file", code="audio_too_long")
        case AudioTooLarge():
            return make_error_response(413, str(error), param="file", code="audio_too_large")
        case AudioTooCostly():
            return make_error_response(413, str(error), param="file", code="audio_too_costly")
        case UnknownModel():
            return make_error_response(404, str(error), param="model", code="model_not_found")
        case UnknownJob():
            return make_error_response(404, str(error), param="job", code="job_not_found")
        case PeaksUnavailable():
            return make_error_response(409, str(error), param="job", code="peaks_unavailable")
        case InvalidJobState():
            return make_error_response(409, str(error), param="job", code="invalid_job_state")
        case UrlFetchFailed():
            return make_error_response(400, str(error), param="url", code="url_failed")
        case StorageFull():
            return _to_storage_full_response(error)
        case OSError() if error.errno in DISK_FULL_ERRNOS:
            log.error("disk full: %s", error)
            return _to_storage_full_response(StorageFull())
        case DeadlineExceeded():
            return make_error_response(504, str(error), code="deadline_exceeded")
        case CapacityError():
            headers = {"retry-after": str(max(1, math.ceil(error.retry_after_s)))}
            status = 429 if isinstance(error, ClientBusy) else 503
            return make_error_response(status, str(error), code=_to_capacity_code(error), headers=headers)
        case DeviceError():
            return make_error_response(
                503,
                f"the device failed; retry after {DEVICE_RETRY_AFTER_S} s",
                code="device_fault",
                headers={"retry-after": str(DEVICE_RETRY_AFTER_S)},
            )
        case AuthenticationFailed():
            return make_error_response(
                401,
                str(error),
                code="invalid_api_key" if error.key_was_sent else None,
                headers={"www-authenticate": "Bearer"},
            )
        case AmbiguousLength():
            return make_error_response(400, str(error), code=AMBIGUOUS_LENGTH, headers={"connection": "close"})
        case UnsupportedEncoding():
            headers = {"accept-encoding": IDENTITY}
            return make_error_response(415, str(error), code="unsupported_encoding", headers=headers)
        case PermissionDenied():
            return make_error_response(403, str(error), code="insufficient_permissions")
        case HostNotAllowed():
            return make_error_response(403, str(error), code="host_not_allowed")
        case OriginNotAllowed():
            return make_error_response(403, str(error), code="origin_not_allowed")
        case UnsupportedMediaType():
            return make_error_response(415, str(error), code="unsupported_media_type")
        case RefusedBody():
            return make_error_response(400, str(error), code=error.code, headers={"connection": "close"})
        case UploadTooSlow():
            return make_error_response(408, str(error), code="upload_too_slow", headers={"connection": "close"})
        case ClientDisconnected():
            return make_error_response(CLIENT_CLOSED_REQUEST, "the client disconnected", code="client_gone")
        case HTTPException() if request is not None:
            return _to_http_error_response(error, request)
    return _to_internal_error_response(error, request)


def _to_storage_full_response(error: StorageFull) -> Response[dict[str, Any]]:
    headers = {"retry-after": str(math.ceil(error.retry_after_s))}
    return make_error_response(507, str(error), code="storage_full", headers=headers)


def to_error_fields(error: InputError) -> dict[str, Any]:
    """`message`, `param` and `code` of the response that a request with this error would get."""
    content = _to_error_response(error).content["error"]
    return {name: content[name] for name in ("message", "param", "code")}


def _to_capacity_code(error: CapacityError) -> str:
    match error:
        case QueueFull():
            return "queue_full"
        case Overloaded():
            return "overloaded"
        case ClientBusy():
            return "rate_limit_exceeded"
        case EngineDraining():
            return "draining"
        case JobsFull():
            return "jobs_full"
        case ModelUnavailable():
            return "model_unavailable"
        case DecoderUnavailable():
            return "decoder_unavailable"
    return "no_capacity"


def _to_http_error_response(error: HTTPException, request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
    """The response for an error of Litestar's own: a path, a method, a host, a body."""
    url = f"{request.method} {request.scope['path']}"
    match error.status_code:
        case 404:
            return make_error_response(404, f"unknown URL: {url}", code="unknown_url")
        case 405:
            allowed = {name.lower(): value for name, value in (error.headers or {}).items()}
            if "GET" in allowed.get("allow", "").split(", "):
                allowed["allow"] += ", HEAD"
            message = f"method not allowed: {url}; use {allowed.get('allow', 'another method')}"
            return make_error_response(405, message, code="method_not_allowed", headers=allowed)
        case 400 if isinstance(error, ValidationException):
            return _to_validation_response(error)
        case status if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return make_error_response(status, error.detail, headers=error.headers)
    return _to_internal_error_response(error, request)


def _to_validation_response(error: ValidationException) -> Response[dict[str, Any]]:
    """The response for a query parameter, or a field of a JSON body, that Litestar rejects."""
    first = error.extra[0] if isinstance(error.extra, list) and error.extra else {}
    field = first.get("key") if isinstance(first, dict) else None
    reason = str(first.get("message", "this value is not possible")) if isinstance(first, dict) else ""
    if not isinstance(field, str) or field == "data":  # Litestar's name for the body
        detail = reason[:200] if reason.startswith("Object") else "not the JSON object that this URL expects"
        return make_error_response(400, f"the body: {detail}", code="invalid_value")
    return make_error_response(400, f"{field}: {reason[:200]}", param=field, code="invalid_value")


def _to_internal_error_response(error: Exception, request: Request[Any, Any, Any] | None) -> Response[dict[str, Any]]:
    context = request.scope.get("state", {}).get(STATE_KEY) if request is not None else None
    request_id = context.id if isinstance(context, RequestContext) else "unknown"
    log.error("request failed id=%s", request_id, exc_info=error)
    message = f"internal server error; request id {request_id} is in the server log"
    return make_error_response(500, message, code="internal_error")
