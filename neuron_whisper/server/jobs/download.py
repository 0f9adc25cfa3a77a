"""Downloads a job's audio from its URL, bounded in size and time; a partial file is never left."""

from __future__ import annotations

import asyncio
import logging
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from neuron_whisper.errors import AudioTooLarge, UrlFetchFailed
from neuron_whisper.server.jobs.files import JobFiles
from neuron_whisper.server.jobs.outbound import PermanentUrlFailure, RestrictedHttpClient

log = logging.getLogger(__name__)

MAX_TRIES = 3
FIRST_BACKOFF_S = 1.0
MAX_NAME_LENGTH = 100


def file_name_from_url(url: str) -> str:
    """https://example.org/a/talk%201.mp3?key=secret -> talk 1.mp3"""
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    return "".join(c for c in name if c.isprintable() and c not in "/\\")[:MAX_NAME_LENGTH] or "audio"


async def download(
    http_client: RestrictedHttpClient, url: str, files: JobFiles, job_id: str, *, max_bytes: int, timeout_s: float
) -> int:
    """Store the file at `url` as the upload of the job and return its size in bytes; transient failures are retried.

    Raises UrlFetchFailed, AudioTooLarge, StorageFull.
    """
    host = urlsplit(url).hostname or ""
    try:
        async with asyncio.timeout(timeout_s):
            for attempt in range(MAX_TRIES):
                try:
                    return await _download_once(http_client, url, files, job_id, max_bytes)
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
    http_client: RestrictedHttpClient, url: str, files: JobFiles, job_id: str, max_bytes: int
) -> int:
    host = urlsplit(url).hostname or ""
    async with http_client.send("GET", url, headers={"accept": "*/*"}) as response:
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
            received = 0
            async for chunk in response.aiter_stream():
                received += len(chunk)
                if received > max_bytes:
                    raise AudioTooLarge(file_name_from_url(url), "the file at the URL", max_bytes)
                file.write(chunk)
        return received
