"""Each word has its probability, wherever the server gives words: response, stream, job, segments of a job, socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from neuron_whisper.server import ServerSettings
from tests.support.job_clients import JOBS, NO_FALLBACK, create_job, get_result, wait_for_job
from tests.support.realtime_clients import SECOND, open_client
from tests.support.servers import TRANSCRIPTIONS, RunningServer, run_server, tone

CLIP = tone(330.0, 2.0)
WITH_WORDS = {"response_format": "verbose_json", "timestamp_granularities[]": ["word", "segment"], **NO_FALLBACK}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    settings = ServerSettings(vad_filter=False, jobs_dir=Path(tmp_path_factory.mktemp("jobs")) / "jobs")
    with run_server(settings) as made:
        yield made


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[httpx.Client]:
    with server.client() as made:
        yield made


@pytest.fixture(scope="module")
def words(client: httpx.Client) -> list[dict[str, Any]]:
    """The words of the clip as a response has them."""
    return ask(client).json()["words"]  # type: ignore[no-any-return]


def ask(client: httpx.Client, **more: str) -> httpx.Response:
    answer = client.post(TRANSCRIPTIONS, files={"file": ("a.wav", CLIP)}, data={**WITH_WORDS, **more})
    assert answer.status_code == 200, answer.text
    return answer


def test_a_response_has_them(words: list[dict[str, Any]]) -> None:
    assert len(words) > 1
    assert all(word.keys() == {"word", "start", "end", "probability"} for word in words)
    assert all(0 < word["probability"] < 1 for word in words)


def test_the_deltas_and_the_last_event_of_a_stream_have_the_same(
    client: httpx.Client, words: list[dict[str, Any]]
) -> None:
    events = [json.loads(line[6:]) for line in ask(client, stream="true").text.splitlines() if line.startswith("data")]
    assert [word for event in events[:-1] for word in event.get("words", [])] == words
    assert events[-1]["words"] == words


def test_a_jobs_result_and_segments_have_the_same(client: httpx.Client, words: list[dict[str, Any]]) -> None:
    job = create_job(client, CLIP, **WITH_WORDS)
    wait_for_job(client, job["id"], "succeeded")
    assert get_result(client, job["id"]).json()["words"] == words
    segments = client.get(f"{JOBS}/{job['id']}/segments").json()["data"]
    assert [word for segment in segments for word in segment["words"]] == words


def test_segments_of_a_job_without_word_times_have_no_words(client: httpx.Client) -> None:
    job = create_job(client, CLIP, **NO_FALLBACK)
    wait_for_job(client, job["id"], "succeeded")
    segments = client.get(f"{JOBS}/{job['id']}/segments").json()["data"]
    assert segments
    assert all(segment.keys() == {"id", "start", "end", "text"} for segment in segments)


def test_the_socket_for_raw_audio_has_them(server: RunningServer) -> None:
    async def speak() -> list[dict[str, Any]]:
        async with open_client(server, "/v1/audio/stream?vad=false&partials=false&words=true") as socket:
            await socket.send(SECOND, {"type": "close"})
            return await socket.receive_until("closed")

    (final,) = (event for event in asyncio.run(speak()) if event["type"] == "final")
    words = [word for segment in final["segments"] for word in segment["words"]]
    assert words
    assert all(word.keys() == {"word", "start", "end", "probability"} for word in words)
