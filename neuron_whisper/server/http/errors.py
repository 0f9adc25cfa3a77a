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
    DeviceFault,
    Draining,
    InputError,
    InvalidOption,
    JobsFull,
    ModelUnavailable,
    Overloaded,
    QueueFull,
    StorageFull,
    UnknownJob,
    UnknownModel,
    UrlFailed,
    WrongJobState,
)
from neuron_whisper.server.http.request_context import STATE_KEY, RequestRecord

log = logging.getLogger(__name__)

CLIENT_GONE = 499  # nginx's; it is logged and reaches nobody
DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
CALLER = "invalid_request_error"
SERVER = "server_error"


class ClientGone(Exception):
    """The client closed its connection before it had its answer."""


class UploadTooSlow(Exception):
    """The body of a request does not come, or too slowly; `reason` has the numbers."""


class NoKey(Exception):
    """The request has no key, or `is_wrong`: one that is nobody's."""

    def __init__(self, *, is_wrong: bool) -> None:
        self.is_wrong = is_wrong
        super().__init__(
            "the API key is not one of this server's"
            if is_wrong
            else "there is no API key: send it as the header Authorization: Bearer KEY"
        )


class NotAllowed(Exception):
    """The key is good, and not for this."""


def error_response(
    status: int,
    message: str,
    *,
    param: str | None = None,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response[dict[str, Any]]:
    """{"error": {"message", "type", "param", "code"}}: all four keys, as OpenAI's schema requires."""
    kind = CALLER if status < HTTPStatus.INTERNAL_SERVER_ERROR else SERVER
    error = {"message": message, "type": kind, "param": param, "code": code}
    return Response({"error": error}, status_code=status, media_type="application/json", headers=dict(headers or {}))


def answer_fault(request: Request[Any, Any, Any], fault: Exception) -> Response[dict[str, Any]]:
    """What a client is told of `fault`. Anything that is not its own doing comes without details."""
    answer = _answered(request, fault)
    record = request.scope.get("state", {}).get(STATE_KEY)
    if isinstance(record, RequestRecord):  # metrics count refusals by their code
        record.code = answer.content["error"]["code"] or str(answer.status_code)
    return answer


def _answered(request: Request[Any, Any, Any], fault: Exception) -> Response[dict[str, Any]]:
    match fault:
        case InvalidOption():
            return error_response(400, str(fault), param=fault.field, code="invalid_value")
        case AudioUnreadable():
            return error_response(400, str(fault), param="file", code="audio_unreadable")
        case AudioTooLong():
            return error_response(413, str(fault), param="file", code="audio_too_long")
        case AudioTooLarge():
            return error_response(413, str(fault), param="file", code="audio_too_large")
        case UnknownModel():
            return error_response(404, str(fault), param="model", code="model_not_found")
        case UnknownJob():
            return error_response(404, str(fault), param="job", code="job_not_found")
        case WrongJobState():
            return error_response(409, str(fault), param="job", code="wrong_job_state")
        case UrlFailed():
            return error_response(400, str(fault), param="url", code="url_failed")
        case StorageFull():
            return _storage_full(fault)
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return _storage_full(StorageFull())
        case DeadlineExceeded():
            return error_response(504, str(fault), code="deadline_exceeded")
        case CapacityError():
            after = {"retry-after": str(max(1, math.ceil(fault.retry_after_s)))}
            status = 429 if isinstance(fault, ClientBusy) else 503
            return error_response(status, str(fault), code=_capacity_code(fault), headers=after)
        case DeviceFault():
            return error_response(
                503,
                "the device failed at this; ask again in a moment",
                code="device_fault",
                headers={"retry-after": "5"},
            )
        case NoKey():
            return error_response(
                401,
                str(fault),
                code="invalid_api_key" if fault.is_wrong else None,
                headers={"www-authenticate": "Bearer"},
            )
        case NotAllowed():
            return error_response(403, str(fault), code="insufficient_permissions")
        case UploadTooSlow():
            return error_response(408, str(fault), code="upload_too_slow", headers={"connection": "close"})
        case OSError() if fault.errno in DISK_FULL:
            log.error("an upload found no room on the disk: %s", fault)
            return error_response(
                503, "the server has no room for the upload now", code="disk_full", headers={"retry-after": "30"}
            )
        case ClientGone():
            return error_response(CLIENT_GONE, "the client is gone", code="client_gone")
        case HTTPException():
            return _of_http(request, fault)
    log.error("request failed path=%r", request.scope["path"], exc_info=fault)
    return error_response(500, "the server failed at this request; its log says more", code="internal_error")


def _storage_full(fault: StorageFull) -> Response[dict[str, Any]]:
    after = {"retry-after": str(math.ceil(fault.retry_after_s))}
    return error_response(507, str(fault), code="storage_full", headers=after)


def told_of(fault: InputError) -> dict[str, Any]:
    """The message, param and code that a request would have been answered with."""
    request: Any = None  # only what Litestar refuses is about the request itself
    error = _answered(request, fault).content["error"]
    return {name: error[name] for name in ("message", "param", "code")}


def _capacity_code(fault: CapacityError) -> str:
    match fault:
        case QueueFull():
            return "queue_full"
        case Overloaded():
            return "overloaded"
        case ClientBusy():
            return "rate_limit_exceeded"
        case Draining():
            return "draining"
        case JobsFull():
            return "jobs_full"
        case ModelUnavailable():
            return "model_unavailable"
    return "no_capacity"


def _of_http(request: Request[Any, Any, Any], fault: HTTPException) -> Response[dict[str, Any]]:
    """What Litestar itself refuses: a path, a method, a host, a form."""
    where = f"{request.method} {request.scope['path']}"
    match fault.status_code:
        case 404:
            return error_response(404, f"there is no {where}", code="unknown_url")
        case 405:
            allowed = {name.lower(): value for name, value in (fault.headers or {}).items()}
            message = f"there is no {where}; it takes {allowed.get('allow', 'another method')}"
            return error_response(405, message, code="method_not_allowed", headers=allowed)
        case status if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return error_response(status, fault.detail, headers=fault.headers)
    log.error("request failed path=%r", request.scope["path"], exc_info=fault)
    return error_response(fault.status_code, "the server failed at this request; its log says more")
