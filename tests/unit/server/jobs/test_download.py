"""The download of a job's audio: its file name, its limits, and what is retried."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from neuron_whisper.errors import AudioTooLarge, AudioUnreadable, JobsFull, UrlFetchFailed
from neuron_whisper.server.jobs import download as download_module
from neuron_whisper.server.jobs.download import DownloadLimits, download, file_name_from_url
from neuron_whisper.server.jobs.files import JobFiles
from neuron_whisper.server.jobs.outbound import PermanentUrlFailure, RestrictedHttpClient, parse_private_networks
from tests.support.job_clients import FakeRemoteServer, run_remote_server


@pytest.fixture
def files(tmp_path: Path) -> Iterator[JobFiles]:
    opened = JobFiles(tmp_path / "jobs")
    yield opened
    opened.close()


def fetch(
    files: JobFiles,
    url: str,
    *,
    max_bytes: int = 1000,
    timeout_s: float = 20.0,
    min_bytes_per_s: float = 0.0,
    count: Callable[[int], None] = lambda n_bytes: None,
) -> int:
    async def run() -> int:
        client = RestrictedHttpClient(parse_private_networks(("127.0.0.0/8",)))
        try:
            limits = DownloadLimits(
                max_bytes=max_bytes, timeout_s=timeout_s, min_bytes_per_s=min_bytes_per_s, count=count
            )
            return await download(client, url, files, "job_1", limits)
        finally:
            await client.close()

    return asyncio.run(run())


@pytest.fixture
def remote() -> Iterator[FakeRemoteServer]:
    with run_remote_server() as running:
        running.files["/talk.wav"] = b"RIFF" * 100
        yield running


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://example.org/a/talk%201.mp3?key=secret", "talk 1.mp3"),
        ("https://example.org/%2e%2e%2fetc%2fpasswd%00", "passwd"),
        ("https://example.org", "audio"),
        ("https://example.org/" + "a" * 300, "a" * 100),
    ],
)
def test_the_file_name_of_a_url_is_safe_to_show(url: str, name: str) -> None:
    assert file_name_from_url(url) == name


def test_the_file_is_stored_as_the_upload_of_the_job(files: JobFiles, remote: FakeRemoteServer) -> None:
    assert fetch(files, f"{remote.url}/talk.wav") == 400
    assert files.upload_path("job_1").read_bytes() == b"RIFF" * 100


@pytest.mark.parametrize("sends_content_length", [True, False])
def test_a_file_over_the_limit_leaves_nothing(
    files: JobFiles, remote: FakeRemoteServer, sends_content_length: bool
) -> None:
    remote.sends_content_length = sends_content_length
    with pytest.raises(AudioTooLarge):
        fetch(files, f"{remote.url}/talk.wav", max_bytes=399)
    assert list(files.uploads_directory.iterdir()) == []


@pytest.mark.parametrize("path", ["/moved.wav", "/missing.wav"])
def test_a_redirect_or_a_missing_file_is_not_retried(files: JobFiles, remote: FakeRemoteServer, path: str) -> None:
    remote.redirects["/moved.wav"] = f"{remote.url}/talk.wav"
    with pytest.raises(PermanentUrlFailure):
        fetch(files, remote.url + path)
    assert remote.requested_paths == [path]


@pytest.mark.parametrize("n_failures", [1, 2, 3])
def test_a_server_error_is_retried_twice(
    files: JobFiles, remote: FakeRemoteServer, monkeypatch: pytest.MonkeyPatch, n_failures: int
) -> None:
    monkeypatch.setattr(download_module, "FIRST_BACKOFF_S", 0.001)
    remote.statuses = [503] * n_failures
    if n_failures < 3:
        assert fetch(files, f"{remote.url}/talk.wav") == 400
    else:
        with pytest.raises(UrlFetchFailed):
            fetch(files, f"{remote.url}/talk.wav")
    assert len(remote.requested_paths) == min(n_failures + 1, 3)


def test_a_download_that_takes_too_long_fails(files: JobFiles, remote: FakeRemoteServer) -> None:
    remote.statuses = [503]  # the retry waits for a second
    with pytest.raises(UrlFetchFailed):
        fetch(files, f"{remote.url}/talk.wav", timeout_s=0.05)


def test_a_slow_host_is_given_up(files: JobFiles, remote: FakeRemoteServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_module, "RATE_GRACE_S", 0.0)
    with pytest.raises(PermanentUrlFailure):
        fetch(files, f"{remote.url}/talk.wav", min_bytes_per_s=1e12)
    assert not files.upload_path("job_1").exists()


def test_bytes_are_counted_as_they_arrive(files: JobFiles, remote: FakeRemoteServer) -> None:
    counted: list[int] = []
    fetch(files, f"{remote.url}/talk.wav", count=counted.append)
    assert sum(counted) == 400

    def refuse(n_bytes: int) -> None:
        raise JobsFull("no byte more")

    with pytest.raises(JobsFull):
        fetch(files, f"{remote.url}/talk.wav", count=refuse)


def test_an_empty_file_is_no_audio(files: JobFiles, remote: FakeRemoteServer) -> None:
    remote.files["/empty.wav"] = b""
    with pytest.raises(AudioUnreadable):
        fetch(files, f"{remote.url}/empty.wav")
