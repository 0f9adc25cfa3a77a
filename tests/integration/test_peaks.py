"""The waveform of the audio: the first event of a stream that asked for it, and of a job as soon as it is decoded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.support.job_clients import JOBS, NO_FALLBACK, create_job, jobs_settings, run_remote_server, wait_for_job
from tests.support.servers import TRANSCRIPTIONS, RunningServer, read_error, run_server, tone, wav

HALF_LOUD = np.concatenate([np.zeros(16_000), np.full(16_000, 0.5)]).astype(np.float32)
CLIP = wav(HALF_LOUD)  # a second of silence, then one at half of full scale
PEAKS = [0] * 20 + [127] * 20
VERBOSE = {"response_format": "verbose_json", "timestamp_granularities[]": ["word", "segment"]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with run_server(jobs_settings(tmp_path_factory.mktemp("jobs"))) as made:
        yield made


@pytest.fixture
def client(server: RunningServer) -> Iterator[httpx.Client]:
    with server.client() as made:
        yield made


def read_events(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]


def ask(client: httpx.Client, clip: bytes = CLIP, **fields: Any) -> httpx.Response:
    form = {"stream": "true", "include[]": "peaks", **NO_FALLBACK, **fields}
    return client.post(TRANSCRIPTIONS, files={"file": ("a.wav", clip)}, data=form)


@pytest.mark.parametrize("fields", [{}, VERBOSE, {"include[]": ["logprobs", "peaks"]}])
def test_a_streams_first_event_is_the_waveform_once(client: httpx.Client, fields: dict[str, Any]) -> None:
    first, *rest = read_events(ask(client, **fields))
    assert first == {"type": "transcript.peaks", "peaks_per_second": 20, "peaks": PEAKS}
    assert {event["type"] for event in rest} == {"transcript.text.delta", "transcript.text.done"}
    assert any("logprobs" in event for event in rest) == ("include[]" in fields)


def test_the_other_events_are_those_of_a_stream_without_it(client: httpx.Client) -> None:
    plain = read_events(ask(client, CLIP, **{"include[]": ""}))
    assert read_events(ask(client))[1:] == plain


def test_a_translations_stream_has_it_too(client: httpx.Client) -> None:
    form = {"stream": "true", "include[]": "peaks", **NO_FALLBACK}
    answer = client.post("/v1/audio/translations", files={"file": CLIP}, data=form)
    assert read_events(answer)[0]["peaks"] == PEAKS


def test_it_comes_before_the_first_window_is_decoded(server: RunningServer, client: httpx.Client) -> None:
    server.session.gate.clear()
    form = {"stream": "true", "include[]": "peaks", **NO_FALLBACK}
    with client.stream("POST", TRANSCRIPTIONS, files={"file": CLIP}, data=form) as answer:
        line = next(line for line in answer.iter_lines() if line)
        assert json.loads(line[6:])["peaks"] == PEAKS
        server.session.gate.set()


@pytest.mark.parametrize("fields", [{"stream": "false"}, {"stream": "", **VERBOSE}])
def test_without_a_stream_the_field_is_refused_by_name(client: httpx.Client, fields: dict[str, Any]) -> None:
    error = read_error(ask(client, **fields), 400)
    assert error["param"] == "include"
    assert "stream=true" in error["message"]


def test_an_unreadable_file_has_an_error_and_no_stream(client: httpx.Client) -> None:
    assert read_error(ask(client, b"no sound at all"), 400)["code"] == "audio_unreadable"


def test_a_quarter_of_an_hour_has_eighteen_thousand(client: httpx.Client) -> None:
    """Longer than what is held in memory: its samples are in a file that another process wrote."""
    clip = tone(330.0, 900.0, rate=8000)
    with client.stream(
        "POST", TRANSCRIPTIONS, files={"file": clip}, data={"stream": "true", "include[]": "peaks"}
    ) as answer:
        peaks = json.loads(next(line for line in answer.iter_lines() if line)[6:])["peaks"]
    assert len(peaks) == 18_000
    assert {round(peak / 10) for peak in peaks} == {8}  # of 0.3


# --- jobs -----------------------------------------------------------------------------------------


def get_peaks(client: httpx.Client, job_id: str) -> httpx.Response:
    return client.get(f"{JOBS}/{job_id}/peaks")


def test_a_job_has_it_while_it_is_transcribed_and_afterwards(tmp_path: Path) -> None:
    with run_server(jobs_settings(tmp_path)) as server, server.client() as client:
        server.session.gate.clear()
        job, waiting = create_job(client, CLIP, **NO_FALLBACK), create_job(client, CLIP, **NO_FALLBACK)
        wait_for_job(client, job["id"], lambda it: it["progress"] and it["progress"]["total_s"])
        expected = {"object": "job.peaks", "peaks_per_second": 20, "peaks": PEAKS}
        assert get_peaks(client, job["id"]).json() == expected
        error = read_error(get_peaks(client, waiting["id"]), 409)
        assert error["code"] == "peaks_unavailable"
        assert "not decoded yet" in error["message"]
        server.session.gate.set()
        wait_for_job(client, job["id"], "succeeded")
        assert get_peaks(client, job["id"]).json() == expected
        assert client.delete(f"{JOBS}/{job['id']}").status_code == 200
        assert read_error(get_peaks(client, job["id"]), 404)["code"] == "job_not_found"
        wait_for_job(client, waiting["id"], "succeeded")
        assert [path.name for path in (tmp_path / "jobs" / "peaks").iterdir()] == [waiting["id"]]


def test_a_job_that_was_never_decoded_says_why_it_has_none(client: httpx.Client) -> None:
    job = create_job(client, b"no sound at all")
    wait_for_job(client, job["id"], "failed")
    assert "failed before" in read_error(get_peaks(client, job["id"]), 409)["message"]


def test_a_job_that_is_cancelled_in_the_queue_has_none(tmp_path: Path) -> None:
    with run_server(jobs_settings(tmp_path)) as server, server.client() as client:
        server.session.gate.clear()
        running, queued = create_job(client, CLIP), create_job(client, CLIP)
        wait_for_job(client, running["id"], "running")
        assert client.post(f"{JOBS}/{queued['id']}/cancel").status_code == 200
        assert "cancelled before" in read_error(get_peaks(client, queued["id"]), 409)["message"]


def test_a_job_that_a_next_server_continues_has_it(tmp_path: Path) -> None:
    with run_server(jobs_settings(tmp_path)) as server, server.client() as client:
        server.session.gate.clear()
        job = create_job(client, CLIP, **NO_FALLBACK)
        wait_for_job(client, job["id"], lambda it: it["progress"] and it["progress"]["total_s"])
    with run_server(jobs_settings(tmp_path)) as server, server.client() as client:
        wait_for_job(client, job["id"], "succeeded")
        assert get_peaks(client, job["id"]).json()["peaks"] == PEAKS


def test_a_job_from_a_url_has_it(tmp_path: Path) -> None:
    with run_remote_server() as other:
        other.files["/talk.wav"] = CLIP
        settings = jobs_settings(tmp_path, jobs_url_origins=(other.url,), private_networks=("127.0.0.0/8",))
        with run_server(settings) as server, server.client() as client:
            form = {"url": (None, f"{other.url}/talk.wav")} | {k: (None, v) for k, v in NO_FALLBACK.items()}
            job = client.post(JOBS, files=form).json()
            wait_for_job(client, job["id"], "succeeded")
            assert get_peaks(client, job["id"]).json()["peaks"] == PEAKS


def test_the_document_describes_both(client: httpx.Client) -> None:
    document = client.get("/schema/openapi.json").json()
    assert "/v1/jobs/{job_id}/peaks" in document["paths"]
    form = document["paths"]["/v1/audio/transcriptions"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert form["schema"]["properties"]["include[]"]["items"]["enum"] == ["logprobs", "peaks"]
