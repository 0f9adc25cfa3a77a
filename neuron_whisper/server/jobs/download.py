"""Downloads a job's audio from its URL, bounded in size and time; a partial file is never left."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from neuron_whisper.errors import AudioTooLarge, AudioUnreadable, UrlFetchFailed
from neuron_whisper.server.jobs.files import JobFiles
from neuron_whisper.server.jobs.outbound import PermanentUrlFailure, RestrictedHttpClient

log = logging.getLogger(__name__)

MAX_TRIES = 3
FIRST_BACKOFF_S = 1.0
MAX_NAME_LENGTH = 100
HEADERS_TIMEOUT_S = 30.0
RATE_GRACE_S = 10.0  # from the start of the body, before its rate is checked


def file_name_from_url(url: str) -> str:
    """https://example.org/a/talk%201.mp3?key=secret -> talk 1.mp3"""
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    return "".join(c for c in name if c.isprintable() and c not in "/\\")[:MAX_NAME_LENGTH] or "audio"


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadLimits:
    """`count` is called with the number of bytes that arrived, before they are stored; it may raise."""

    max_bytes: int
    timeout_s: float
    min_bytes_per_s: float = 0.0
    count: Callable[[int], None] = lambda n_bytes: None


async def download(
    http_client: RestrictedHttpClient, url: str, files: JobFiles, job_id: str, limits: DownloadLimits
) -> int:
    """Store the file at `url` as the upload of the job and return its size in bytes; transient failures are retried.

    Raises UrlFetchFailed, AudioTooLarge, AudioUnreadable for an empty file, StorageFull, and what `count` raises.
    """
    host, timeout_s = urlsplit(url).hostname or "", limits.timeout_s
    try:
        async with asyncio.timeout(timeout_s):
            for attempt in range(MAX_TRIES):
                try:
                    return await _download_once(http_client, url, files, job_id, limits)
                except PermanentUrlFailure:
                    raise
                except UrlFetchFailed as failure:
                    if attempt == MAX_TRIES - 1:
                        raise
                    log.info("download failed job=%s try=%d reason=%r", job_id, attempt + 1, failure.reason)
                    await asyncio.sleep(FIRST_BACKOFF_S * 4**attempt)
    except TimeoutError:
        raise UrlFetchFailed(host, f"not downloaded within {timeout_s:g} seconds") from None
    raise AssertionError("every try returns or raises")


async def _download_once(
    http_client: RestrictedHttpClient, url: str, files: JobFiles, job_id: str, limits: DownloadLimits
) -> int:
    host, max_bytes = urlsplit(url).hostname or "", limits.max_bytes
    async with AsyncExitStack() as exchange:
        try:
            async with asyncio.timeout(HEADERS_TIMEOUT_S):
                response = await exchange.enter_async_context(http_client.send("GET", url, headers={"accept": "*/*"}))
        except TimeoutError:
            raise UrlFetchFailed(host, f"no response within {HEADERS_TIMEOUT_S:g} seconds") from None
        if response.status in range(300, 400):
            raise PermanentUrlFailure(host, f"HTTP status {response.status}; redirects are not followed")
        if response.status >= 500 or response.status == 429:
            raise UrlFetchFailed(host, f"HTTP status {response.status}")
        if response.status != 200:
            raise PermanentUrlFailure(host, f"HTTP status {response.status}")
        content_length = dict(response.headers).get(b"content-length", b"")
        if content_length.isdigit() and int(content_length) > max_bytes:
            raise AudioTooLarge(file_name_from_url(url), "the file at the URL", max_bytes)
        with files.write_atomically(files.upload_path(job_id)) as file:
            received, started = 0, time.monotonic()
            async for chunk in response.aiter_stream():
                received += len(chunk)
                if received > max_bytes:
                    raise AudioTooLarge(file_name_from_url(url), "the file at the URL", max_bytes)
                took_s = time.monotonic() - started
                if took_s > RATE_GRACE_S and received < limits.min_bytes_per_s * took_s:
                    raise PermanentUrlFailure(host, f"slower than {limits.min_bytes_per_s:g} bytes per second")
                limits.count(len(chunk))
                file.write(chunk)
            if not received:
                raise AudioUnreadable(file_name_from_url(url), "the file at the URL is empty")
        return received
