"""Decoder processes: the same samples, limits that hold, a cancel that frees, and no process that is left over."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import httpx
import numpy as np
import pytest

from neuron_whisper.audio.clip import AudioClip
from neuron_whisper.audio.limits import AudioLimits
from neuron_whisper.audio.load import load_audio
from neuron_whisper.audio.process.decoder import create_memory_file
from neuron_whisper.errors import (
    AudioForged,
    AudioTooCostly,
    AudioTooLong,
    AudioUnreadable,
    DecoderUnavailable,
    InvalidOption,
)
from neuron_whisper.server import ServerSettings
from neuron_whisper.server.decoding.forkserver import ForkserverClient
from neuron_whisper.server.decoding.pool import DecoderLimits, DecoderPool, DecodingStats
from tests.support.audio_files import encode_with_av, encode_with_soundfile, tone
from tests.support.decoders import list_decoders, list_descendants, read_command, read_peak_mb, run_decoders
from tests.support.forged_files import (
    FORGED_MATROSKA,
    FORGED_MP4,
    avi,
    caf,
    flac_blocks,
    id3,
    id3_compressed,
    ogg_of_streams,
)
from tests.support.hostile_files import encode_flac_silence, encode_opus_silence
from tests.support.paths import ROOT
from tests.support.servers import TRANSCRIPTIONS, read_error, run_server
from tests.support.servers import tone as wav_tone

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's: limits and ends are not proved")

SOUND = encode_with_soundfile(tone(0.5, 16_000), 16_000, "WAV")
STALL_S = 20.0


@contextmanager
def open_memory_file(content: bytes) -> Iterator[BinaryIO]:
    with create_memory_file() as file:
        file.write(content)
        file.seek(0)
        yield file


async def decode(pool: DecoderPool, content: bytes, **options: int) -> AudioClip:
    with open_memory_file(content) as file:
        return await pool.decode(file, name="a.bin", limits=AudioLimits(), **options)


def run(
    work: Callable[[DecoderPool], Awaitable[None]], limits: DecoderLimits | None = None, size: int = 1
) -> DecodingStats:
    """Run `work` with a pool, and return what was counted; nothing is busy at the end."""
    stats = DecodingStats()

    async def main() -> None:
        with run_decoders(size, limits=limits or DecoderLimits(stall_s=STALL_S), stats=stats) as pool:
            async with asyncio.timeout(60):
                await work(pool)

    asyncio.run(main())
    assert stats.busy == 0
    return stats


async def wait_until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_true():
            await asyncio.sleep(0.005)


@contextmanager
def open_endless_file() -> Iterator[BinaryIO]:
    """A file whose first byte never comes."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as file, os.fdopen(writing, "wb"):
        yield file


# --- what comes of a file -----------------------------------------------------------------------


FILES = {
    "wav": SOUND,
    "flac": encode_with_soundfile(tone(0.5, 44_100, 2), 44_100, "FLAC"),
    "m4a": encode_with_av("ipod", "aac", tone(0.5, 44_100), 44_100),
    "truncated webm": encode_with_av("webm", "libopus", tone(0.5, 48_000), 48_000)[:-50],
    "ten minutes, in a file": encode_with_soundfile(tone(601.0, 16_000), 16_000, "WAV"),
}


def test_a_child_process_gives_the_samples_and_warnings_of_this_one() -> None:
    async def work(pool: DecoderPool) -> None:
        for kind, content in FILES.items():
            clip, here = await decode(pool, content), load_audio(content, name="a.bin")
            np.testing.assert_array_equal(clip.samples, here.samples, kind)
            assert (clip.source, clip.warnings) == (here.source, here.warnings)
            assert clip.samples.dtype == here.samples.dtype
            # the pages of long audio are released as it is read
            assert isinstance(clip.samples, np.memmap) == isinstance(here.samples, np.memmap)

    assert run(work).replaced == 0


def test_options_of_load_audio_and_its_errors_go_through() -> None:
    two = np.concatenate([tone(0.5, 16_000), 0 * tone(0.5, 16_000)], axis=1)
    content = encode_with_soundfile(two, 16_000, "WAV")

    async def work(pool: DecoderPool) -> None:
        assert np.abs((await decode(pool, content, channel=1)).samples).max() == 0
        assert np.abs((await decode(pool, content, channel=0)).samples).max() > 0.4
        with pytest.raises(InvalidOption) as caught:
            await decode(pool, content, channel=2)
        assert (caught.value.field, caught.value.value) == ("channel", 2)
        with pytest.raises(AudioUnreadable, match=r"a\.bin: this is text, not audio"):
            await decode(pool, b"text")
        with open_memory_file(content) as file, pytest.raises(AudioTooLong):
            await pool.decode(file, name="a", limits=AudioLimits(max_seconds=0.1))

    stats = run(work)
    assert (stats.replaced, +stats.refused) == (0, {})


def test_one_process_decodes_one_file_after_another_and_imports_the_audio_code_alone() -> None:
    async def work(pool: DecoderPool) -> None:
        await decode(pool, SOUND)
        before = list_decoders()
        for _ in range(20):
            await decode(pool, SOUND)
        assert list_decoders() == before
        mapped = Path(f"/proc/{before[0]}/maps").read_text()
        assert "/av/" in mapped
        assert "openvino" not in mapped
        environment = Path(f"/proc/{before[0]}/environ").read_bytes()
        assert b"NEURON_WHISPER" not in environment

    os.environ["NEURON_WHISPER_WEBHOOK_SECRET"] = "whsec"
    try:
        run(work)
    finally:
        del os.environ["NEURON_WHISPER_WEBHOOK_SECRET"]


def test_several_files_are_decoded_at_once_and_no_more_than_the_size() -> None:
    async def work(pool: DecoderPool) -> None:
        clips = await asyncio.gather(*(decode(pool, SOUND) for _ in range(10)))
        assert {it.duration_s for it in clips} == {0.5}
        assert len(list_decoders()) <= 2

    run(work, size=2)


# --- limits ---------------------------------------------------------------------------------------


def check_limit(limit: str, content: bytes, limits: DecoderLimits) -> None:
    """Decoding is given up at this limit, and the next file is decoded."""

    async def work(pool: DecoderPool) -> None:
        with pytest.raises(AudioTooCostly) as caught:
            await decode(pool, content)
        assert (caught.value.source, caught.value.limit) == ("a.bin", limit)
        assert (await decode(pool, SOUND)).duration_s == 0.5

    stats = run(work, limits)
    assert (stats.replaced, +stats.refused) == (1, {limit: 1})


def test_a_file_that_takes_too_much_memory_is_given_up() -> None:
    content = encode_with_soundfile(tone(300.0, 16_000), 16_000, "FLAC")
    check_limit("memory", content, DecoderLimits(memory_bytes=6 << 20))


def test_a_file_that_takes_too_much_processor_time_is_given_up() -> None:
    content = encode_flac_silence(seconds=100.0)  # 150 million samples in 50 KB
    check_limit("processor", content, DecoderLimits(processor_s=0.01, stall_s=STALL_S))


def test_a_file_without_progress_is_given_up() -> None:
    async def work(pool: DecoderPool) -> None:
        with open_endless_file() as file, pytest.raises(AudioTooCostly, match=r"no sample was decoded in 0\.5 seconds"):
            await pool.decode(file, name="a", limits=AudioLimits())
        assert (await decode(pool, SOUND)).duration_s == 0.5

    assert run(work, DecoderLimits(stall_s=0.5)).refused == {"progress": 1}


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGKILL, AudioTooCostly), (signal.SIGSEGV, AudioUnreadable)], ids=["killed", "crash"]
)
def test_a_decoder_that_dies_is_an_error_of_its_file_and_the_next_is_served(
    number: signal.Signals, error: type[Exception]
) -> None:
    async def work(pool: DecoderPool) -> None:
        await decode(pool, SOUND)
        (decoder,) = list_decoders()
        with open_endless_file() as file:
            decoding = asyncio.ensure_future(pool.decode(file, name="a", limits=AudioLimits()))
            await asyncio.sleep(0.05)
            os.kill(decoder, number)
            with pytest.raises(error):
                await decoding
        assert (await decode(pool, SOUND)).duration_s == 0.5
        assert list_decoders() != [decoder]

    stats = run(work)
    assert stats.refused == {"killed" if number == signal.SIGKILL else "crash": 1}


def test_an_idle_decoder_that_was_killed_is_replaced_unseen() -> None:
    async def work(pool: DecoderPool) -> None:
        await decode(pool, SOUND)
        (decoder,) = list_decoders()
        os.kill(decoder, signal.SIGKILL)
        await wait_until(lambda: b"forkserver" not in read_command(decoder))
        assert (await decode(pool, SOUND)).duration_s == 0.5

    run(work)


def test_the_forkserver_is_started_again_when_it_was_killed() -> None:
    async def work(pool: DecoderPool) -> None:
        await decode(pool, SOUND)
        for pid in list_descendants(os.getpid()):
            if b"audio.process.forkserver" in read_command(pid):
                os.kill(pid, signal.SIGKILL)
        await wait_until(lambda: not list_decoders())
        assert (await decode(pool, SOUND)).duration_s == 0.5

    run(work)


def test_a_closed_pool_has_no_decoder() -> None:
    async def work() -> None:
        forkserver = ForkserverClient()
        forkserver.close()
        with pytest.raises(DecoderUnavailable):
            await decode(DecoderPool(forkserver, DecodingStats(), size=1), SOUND)

    asyncio.run(work())


# --- cancel and the end ---------------------------------------------------------------------------


def test_a_cancelled_task_frees_its_decoder_at_once() -> None:
    async def work(pool: DecoderPool) -> None:
        await decode(pool, SOUND)
        (decoder,) = list_decoders()
        for _ in range(5):
            with open_endless_file() as file:
                decoding = asyncio.ensure_future(pool.decode(file, name="a", limits=AudioLimits()))
                await asyncio.sleep(0.02)
                decoding.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await decoding
            started = time.monotonic()
            assert (await decode(pool, SOUND)).duration_s == 0.5
            assert time.monotonic() - started < 5
        await wait_until(lambda: decoder not in list_decoders())
        assert len(list_decoders()) == 1

    assert run(work).replaced == 5


def test_tasks_cancelled_at_any_moment_lose_no_decoder() -> None:
    async def work(pool: DecoderPool) -> None:
        for n in range(20):
            decoding = asyncio.ensure_future(decode(pool, SOUND))
            await asyncio.sleep(n * 0.0007)
            decoding.cancel()
            await asyncio.gather(decoding, return_exceptions=True)
        assert (await decode(pool, SOUND)).duration_s == 0.5
        await wait_until(lambda: len(list_decoders()) == 1)

    run(work)


ORPHANS = """
import asyncio, os, sys
from neuron_whisper.audio.limits import AudioLimits
from tests.integration.test_decoders import SOUND, decode, open_endless_file
from tests.support.decoders import list_decoders, list_descendants, read_command, read_peak_mb, run_decoders

async def main():
    with run_decoders(2) as pool:
        await decode(pool, SOUND)
        with open_endless_file() as file:
            decoding = asyncio.ensure_future(pool.decode(file, name="a", limits=AudioLimits()))
            async with asyncio.timeout(25):
                while len(list_descendants(os.getpid())) != 3:  # one that has grown is not kept
                    await decode(pool, SOUND)
            print(*list_descendants(os.getpid()), flush=True)
            await decoding

asyncio.run(main())
"""


def test_a_parent_that_is_killed_leaves_no_process() -> None:
    parent = subprocess.Popen([sys.executable, "-c", ORPHANS], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        pids = [int(it) for it in parent.stdout.readline().split()]
    parent.kill()
    parent.wait()
    assert len(pids) == 3  # an idle one, a busy one, and the forkserver
    asyncio.run(wait_until(lambda: not any(b"forkserver" in read_command(it) for it in pids)))


# --- a server --------------------------------------------------------------------------------------


def test_forged_uploads_are_refused_by_the_server_whose_memory_stays_small() -> None:
    files = [*(make() for make in FORGED_MP4.values()), id3(id3_compressed(32 << 20)) + SOUND]
    with run_server() as server:
        assert server.post(wav_tone()).status_code == 200
        (decoder,) = list_decoders()
        before_mb, child_mb = read_peak_mb(os.getpid()), read_peak_mb(decoder)
        for content in files:
            assert read_error(server.post(content), 400)["code"] == "audio_unreadable"
        with server.client() as client:
            metrics = client.get("/metrics").text
        assert f'decoding_refused_total{{reason="forged"}} {len(files)}.0' in metrics
        assert list_decoders() == [decoder]
        assert read_peak_mb(decoder) - child_mb < 100
        assert read_peak_mb(os.getpid()) - before_mb < 100


MANY = {
    **{f"matroska: {kind}": make(100_000) for kind, make in FORGED_MATROSKA.items()},
    "ogg of 900 streams": ogg_of_streams(900, encode_with_av("ogg", "libopus", tone(0.5, 48_000), 48_000)),
    "caf": caf(packets=10**9),
    "caf with a table": caf(packets=500_000, table=b"\1" * 500_000),
    "flac with 900 pictures": flac_blocks(*[(6, bytes(500))] * 900),
    "avi of one index": avi(super_entries=1000, entries=1000),
    "id3 in aac": encode_with_av("adts", "aac", tone(0.5, 16_000), 16_000) + id3(id3_compressed(32 << 20)),
}


def test_no_container_takes_much_memory_for_what_it_promises() -> None:
    async def work(pool: DecoderPool) -> None:
        await decode(pool, SOUND)
        for kind, content in MANY.items():
            with contextlib.suppress(AudioUnreadable):
                await decode(pool, content)
            for decoder in list_decoders():
                assert read_peak_mb(decoder) < 250, kind  # 120 of it are imports

    run(work)


def test_a_file_that_takes_too_much_is_a_413_with_its_limit() -> None:
    with run_server(ServerSettings(vad_filter=False, decoder_memory_bytes=64 << 20)) as server:
        content = encode_with_av("flac", "flac", tone(1.0, 191_999), 191_999)
        assert read_error(server.post(content), 413)["code"] == "audio_too_costly"
        assert server.post(wav_tone()).status_code == 200
        with server.client() as client:
            metrics = client.get("/metrics").text
    assert 'decoding_refused_total{reason="memory"} 1.0' in metrics
    assert 'requests_rejected_total{reason="audio_too_costly"} 1.0' in metrics


def test_a_client_that_leaves_frees_its_decoder() -> None:
    content = encode_opus_silence(hours=1.9)
    boundary, field = b"--x\r\n", b'Content-Disposition: form-data; name="file"; filename="a.ogg"\r\n\r\n'
    body = boundary + field + content + b"\r\n--x--\r\n"
    head = f"POST {TRANSCRIPTIONS} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    with run_server(ServerSettings(vad_filter=False, decoders=1)) as server:
        server.post(wav_tone())
        with socket.create_connection(server.address) as connection:
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            _wait_for_metric(server.url, "decoders_busy 1.0")
        started = time.monotonic()
        _wait_for_metric(server.url, "decoders_busy 0.0")
        assert server.post(wav_tone()).status_code == 200
        assert time.monotonic() - started < 3
        _wait_for_metric(server.url, "decoders_replaced_total 1.0")


def _wait_for_metric(url: str, line: str) -> None:
    with httpx.Client(base_url=url, verify=False) as client:
        for _ in range(300):
            if f"neuron_whisper_{line}" in client.get("/metrics").text:
                return
    raise AssertionError(line)


def test_forged_errors_are_not_lost_on_the_way() -> None:
    async def work(pool: DecoderPool) -> None:
        with pytest.raises(AudioForged, match="promises 80,000,000 samples"):
            await decode(pool, FORGED_MP4["stsz"]())

    assert run(work).refused == {"forged": 1}


def test_a_job_that_is_cancelled_frees_its_decoder(tmp_path: Path) -> None:
    settings = ServerSettings(vad_filter=False, jobs_dir=tmp_path / "jobs")
    with run_server(settings) as server, server.client() as client:
        created = client.post("/v1/jobs", files={"file": ("a.ogg", encode_opus_silence(hours=1.9))})
        assert created.status_code in (200, 201, 202), created.text
        _wait_for_metric(server.url, "decoders_busy 1.0")
        job = f"/v1/jobs/{created.json()['id']}"
        cancelled = client.post(f"{job}/cancel")
        assert cancelled.status_code == 200, cancelled.text
        _wait_for_metric(server.url, "decoders_busy 0.0")
        client.delete(job)
