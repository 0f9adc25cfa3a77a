"""Errors as responses."""

from __future__ import annotations

import pytest
from litestar import Litestar
from litestar.testing import RequestFactory

from neuron_whisper.errors import (
    ArtifactCorrupt,
    AudioTooLarge,
    AudioTooLong,
    AudioUnreadable,
    CapacityError,
    DeadlineExceeded,
    DecodingFailed,
    DeviceError,
    EngineDraining,
    InvalidOption,
    QueueFull,
    UnknownModel,
)
from neuron_whisper.server.http.errors import handle_exception
from tests.support.servers import TRANSCRIPTIONS, RunningServer, read_error


@pytest.mark.parametrize(
    ("fault", "status", "code", "param"),
    [
        (AudioUnreadable("a.wav", "it is a picture"), 400, "audio_unreadable", "file"),
        (AudioTooLong("a.wav", 60.0), 413, "audio_too_long", "file"),
        (AudioTooLarge("a.wav", "the upload", 10), 413, "audio_too_large", "file"),
        (InvalidOption("language", "xx", "a code"), 400, "invalid_value", "language"),
        (UnknownModel("x", ["base"]), 404, "model_not_found", "model"),
        (QueueFull(4), 503, "queue_full", None),
        (EngineDraining(), 503, "draining", None),
        (CapacityError("later"), 503, "no_capacity", None),
        (DeadlineExceeded(3.0), 504, "deadline_exceeded", None),
        (DeviceError("at /dev/neuron0"), 503, "device_fault", None),
        (DecodingFailed("IndexError: /home/me/x.py"), 500, "internal_error", None),
        (ArtifactCorrupt("/var/cache/x", expected=1, found=2), 500, "internal_error", None),
        (RuntimeError("/home/me/x.py"), 500, "internal_error", None),
    ],
)
def test_each_error_has_its_status_and_internal_ones_no_details(
    fault: Exception, status: int, code: str, param: str | None
) -> None:
    request = RequestFactory(app=Litestar(logging_config=None)).post(TRANSCRIPTIONS)
    response = handle_exception(request, fault)
    error = response.content["error"]
    assert (response.status_code, error["code"], error["param"]) == (status, code, param)
    assert ("retry-after" in response.headers) == (status == 503)
    assert "/" not in error["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("POST", "/", 405),
        ("GET", TRANSCRIPTIONS, 405),
        ("GET", "/v1/models/x/y", 404),
    ],
)
def test_unknown_routes_have_the_same_format(server: RunningServer, method: str, path: str, status: int) -> None:
    with server.client() as client:
        read_error(client.request(method, path), status)
