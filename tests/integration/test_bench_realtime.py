"""The realtime bench against a real server: what it tells of latency and of error rates."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import pytest

from benchmarks.load import realtime
from neuron_whisper.server import ServerSettings
from tests.support.live_speech import pcm16, rising_tone
from tests.support.servers import run_server


def test_clips_over_sockets_are_timed_and_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = []
    for n in range(2):
        path = tmp_path / f"clip{n}.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16_000)
            file.writeframes(pcm16(rising_tone(0.4 + 0.2 * n)))
        paths.append(str(path))
    with run_server(ServerSettings(vad_filter=False)) as server:
        arguments = [*paths, "--url", server.url, "--sessions", "2", "--no-vad", "--json"]
        assert realtime.main(arguments) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["clips"], report["sessions"]) == (2, 2)
    assert report["wer_to_file_percent"] == 0
    assert report["last_final_s"]["n"] == 2
    assert all(it["text"] == it["file_text"] for it in report["details"])
