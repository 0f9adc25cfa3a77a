"""A job's audio from its URL: within a size and a time, whole or not at all."""

from __future__ import annotations

import asyncio
import logging
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from neuron_whisper.errors import AudioTooLarge, UrlFailed
from neuron_whisper.server.jobs.files import JobFiles
from neuron_whisper.server.jobs.outbound import Outbound, UrlRefused

log = logging.getLogger(__name__)

TRIES = 3
FIRST_WAIT_S = 1.0
LONGEST_NAME = 100


def name_in(url: str) -> str:
    """https://example.org/a/talk%201.mp3?key=secret -> talk 1.mp3"""
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    return "".join(c for c in name if c.isprintable() and c not in "/\\")[:LONGEST_NAME] or "audio"


async def download(
    outbound: Outbound, url: str, files: JobFiles, job_id: str, *, max_bytes: int, within_s: float
) -> int:
    """Put what stands at `url` in the job's place for uploads; its size in bytes. Connections are tried three times.

    Raises UrlFailed, AudioTooLarge, StorageFull.
    """
    host = urlsplit(url).hostname or ""
    try:
        async with asyncio.timeout(within_s):
            for attempt in range(TRIES):
                try:
                    return await _once(outbound, url, files, job_id, max_bytes)
                except UrlRefused:
                    raise
                except UrlFailed as failure:
                    if attempt == TRIES - 1:
                        raise
                    log.info("download failed job=%s try=%d: %s", job_id, attempt + 1, failure)
                    await asyncio.sleep(FIRST_WAIT_S * 4**attempt)
    except TimeoutError:
        raise UrlFailed(host, f"not downloaded within {within_s:g} seconds") from None
    raise AssertionError("every try returns or raises")


async def _once(outbound: Outbound, url: str, files: JobFiles, job_id: str, max_bytes: int) -> int:
    host = urlsplit(url).hostname or ""
    async with outbound.send("GET", url, headers={"accept": "*/*"}) as response:
        if response.status in range(300, 400):
            raise UrlRefused(host, f"it answered {response.status}; redirects are not followed")
        if response.status >= 500 or response.status == 429:
            raise UrlFailed(host, f"it answered {response.status}")
        if response.status != 200:
            raise UrlRefused(host, f"it answered {response.status}")
        announced = dict(response.headers).get(b"content-length", b"")
        if announced.isdigit() and int(announced) > max_bytes:
            raise AudioTooLarge(name_in(url), "the file at the URL", max_bytes)
        with files.writing(files.upload(job_id)) as file:
            received = 0
            async for piece in response.aiter_stream():
                received += len(piece)
                if received > max_bytes:
                    raise AudioTooLarge(name_in(url), "the file at the URL", max_bytes)
                file.write(piece)
        return received
