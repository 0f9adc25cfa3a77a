"""The error tree as HTTP, in OpenAI's shape. Nothing else in the package knows a status code of an error."""

from __future__ import annotations

import errno
import logging
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException

from neuron_whisper.errors import (
    AudioTooLarge,
    AudioTooLong,
    AudioUnreadable,
    CapacityError,
    ClientBusy,
    DeadlineExceeded,
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
    UnknownJob,
    UnknownModel,
    UrlFetchFailed,
)
from neuron_whisper.server.http.request_context import STATE_KEY, RequestContext

log = logging.getLogger(__name__)

CLIENT_CLOSED_REQUEST = 499  # nginx's; it is logged and reaches nobody
DISK_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
INVALID_REQUEST = "invalid_request_error"
SERVER_ERROR = "server_error"


class ClientDisconnected(Exception):
    """The client closed its connection before it had its answer."""


class UploadTooSlow(Exception):
    """The body of a request does not come, or too slowly; `reason` has the numbers."""


class AuthenticationFailed(Exception):
    """The request has no key, or `key_was_sent`: one that is nobody's."""

    def __init__(self, *, key_was_sent: bool) -> None:
        self.key_was_sent = key_was_sent
        super().__init__(
            "the API key is not one of this server's"
            if key_was_sent
            else "there is no API key: send it as the header Authorization: Bearer KEY"
        )


class PermissionDenied(Exception):
    """The key is good, and not for this."""


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
    """What a client is told of `error`. Anything that is not its own doing comes without details."""
    answer = _to_error_response(request, error)
    record = request.scope.get("state", {}).get(STATE_KEY)
    if isinstance(record, RequestContext):  # metrics count refusals by their code
        record.error_code = answer.content["error"]["code"] or str(answer.status_code)
    return answer


def _to_error_response(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    match error:
        case InvalidOption():
            return make_error_response(400, str(error), param=error.field, code="invalid_value")
        case AudioUnreadable():
            return make_error_response(400, str(error), param="file", code="audio_unreadable")
        case AudioTooLong():
            return make_error_response(413, str(error), param="file", code="audio_too_long")
        case AudioTooLarge():
            return make_error_response(413, str(error), param="file", code="audio_too_large")
        case UnknownModel():
            return make_error_response(404, str(error), param="model", code="model_not_found")
        case UnknownJob():
            return make_error_response(404, str(error), param="job", code="job_not_found")
        case InvalidJobState():
            return make_error_response(409, str(error), param="job", code="invalid_job_state")
        case UrlFetchFailed():
            return make_error_response(400, str(error), param="url", code="url_failed")
        case StorageFull():
            return _to_storage_full_response(error)
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return _to_storage_full_response(StorageFull())
        case DeadlineExceeded():
            return make_error_response(504, str(error), code="deadline_exceeded")
        case CapacityError():
            after = {"retry-after": str(max(1, math.ceil(error.retry_after_s)))}
            status = 429 if isinstance(error, ClientBusy) else 503
            return make_error_response(status, str(error), code=_to_capacity_code(error), headers=after)
        case DeviceError():
            return make_error_response(
                503,
                "the device failed at this; ask again in a moment",
                code="device_fault",
                headers={"retry-after": "5"},
            )
        case AuthenticationFailed():
            return make_error_response(
                401,
                str(error),
                code="invalid_api_key" if error.key_was_sent else None,
                headers={"www-authenticate": "Bearer"},
            )
        case PermissionDenied():
            return make_error_response(403, str(error), code="insufficient_permissions")
        case UploadTooSlow():
            return make_error_response(408, str(error), code="upload_too_slow", headers={"connection": "close"})
        case OSError() if error.errno in DISK_FULL_ERRNOS:
            log.error("an upload found no room on the disk: %s", error)
            return make_error_response(
                503, "the server has no room for the upload now", code="disk_full", headers={"retry-after": "30"}
            )
        case ClientDisconnected():
            return make_error_response(CLIENT_CLOSED_REQUEST, "the client is gone", code="client_gone")
        case HTTPException():
            return _to_http_error_response(request, error)
    log.error("request failed path=%r", request.scope["path"], exc_info=error)
    return make_error_response(500, "the server failed at this request; its log says more", code="internal_error")


def _to_storage_full_response(error: StorageFull) -> Response[dict[str, Any]]:
    after = {"retry-after": str(math.ceil(error.retry_after_s))}
    return make_error_response(507, str(error), code="storage_full", headers=after)


def to_error_fields(fault: InputError) -> dict[str, Any]:
    """The message, param and code that a request would have been answered with."""
    request: Any = None  # only what Litestar refuses is about the request itself
    error = _to_error_response(request, fault).content["error"]
    return {name: error[name] for name in ("message", "param", "code")}


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
    return "no_capacity"


def _to_http_error_response(request: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, Any]]:
    """What Litestar itself refuses: a path, a method, a host, a form."""
    where = f"{request.method} {request.scope['path']}"
    match error.status_code:
        case 404:
            return make_error_response(404, f"there is no {where}", code="unknown_url")
        case 405:
            allowed = {name.lower(): value for name, value in (error.headers or {}).items()}
            message = f"there is no {where}; it takes {allowed.get('allow', 'another method')}"
            return make_error_response(405, message, code="method_not_allowed", headers=allowed)
        case status if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return make_error_response(status, error.detail, headers=error.headers)
    log.error("request failed path=%r", request.scope["path"], exc_info=error)
    return make_error_response(error.status_code, "the server failed at this request; its log says more")
