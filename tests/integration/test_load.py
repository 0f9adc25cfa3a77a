"""The load test's client against the running server, and what it makes of the answers."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.load.__main__ import main
from benchmarks.load.clients import LoadConfig, MemoryRecorder, RequestResult, UploadClip, run_level
from benchmarks.load.report import draw_svg, format_markdown, summarize_level
from neuron_whisper.server import ServerSettings
from tests.support.servers import run_server, tone

CLIPS = [UploadClip(name=f"{hertz}.wav", content=tone(hertz, 0.3), duration_s=0.3) for hertz in (300, 500)]


def test_a_level_counts_what_came_and_how_long_it_took(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(tone(300, 0.3))
    (tmp_path / "long.wav").write_bytes(tone(300, 3.0))
    (tmp_path / "notes.txt").write_text("no speech")
    out = tmp_path / "out"
    with run_server() as server:
        code = main(
            [
                server.url,
                "--clients",
                "1,4",
                "--duration",
                "0.4,0.8",
                "--speech",
                str(tmp_path),
                "--longest",
                "1",
                "--pid",
                str(os.getpid()),
                "--out",
                str(out),
            ]
        )
    document = json.loads((out / "load.json").read_text())
    assert code == 0
    assert document["clips"] == 1
    assert [level["clients"] for level in document["levels"]] == [1, 4]
    assert document["levels"][1]["duration_s"] >= 0.8
    for level in document["levels"]:
        assert level["ok"] == level["requests"] > 0
        assert 0 < level["latency_s"]["p50"] <= level["latency_s"]["p99"] <= level["latency_s"]["max"]
        assert level["resident_mb"]["peak"] > 0
    ElementTree.fromstring((out / "load.svg").read_text())
    assert (out / "load.md").read_text().count("\n| ") == 4


def test_a_duration_for_each_level_or_one_for_all(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["http://127.0.0.1:1", "--clients", "1,4,8", "--duration", "1,2", "--speech", "."])
    assert "one number, or 3 as --clients has" in capsys.readouterr().err


def test_at_four_times_what_it_may_take_a_server_serves_or_refuses_and_nothing_else() -> None:
    with run_server(ServerSettings(max_requests=2, vad_filter=False), slots=2) as server:
        config = LoadConfig(url=server.url, fields={"model": "whisper-1"}, respect_retry_after=False)
        answers = asyncio.run(run_level(config, CLIPS, clients=8, duration_s=1.0))
        server.wait_for(requests=0, waiting=0, decoding=0)
    found = summarize_level(answers, clients=8, duration_s=1.0, memory=None)
    assert found["ok"] > 0
    assert found["refused"] > 0
    assert found["errors"] == {}
    assert found["refusal_s"]["max"] < 10  # of a machine that does other things as well


def test_what_is_neither_a_transcript_nor_a_refusal_is_an_error_by_its_kind() -> None:
    with run_server() as server:
        wrong = LoadConfig(url=server.url, fields={"model": "nothing"})
        answers = asyncio.run(run_level(wrong, CLIPS, clients=1, duration_s=0.1))
    assert {it.outcome for it in answers} == {"404 model_not_found"}
    gone = asyncio.run(run_level(LoadConfig(url=server.url, fields={}), CLIPS, clients=1, duration_s=0.05))
    assert {it.outcome for it in gone} == {"ConnectError"}


def test_figures_are_of_the_kind_they_are_named() -> None:
    answers = [RequestResult(at_s=n, took_s=n, outcome="ok" if n < 4 else "refused", audio_s=10) for n in range(1, 6)]
    memory = MemoryRecorder(0, [(0.0, 100 << 20), (1.0, 120 << 20)])
    level = summarize_level(answers, clients=3, duration_s=5, memory=memory)
    assert (level["ok"], level["refused"], level["requests"]) == (3, 2, 5)
    assert level["latency_s"]["p50"] == 2
    assert level["refusal_s"]["max"] == 5
    assert level["audio_s_per_s"] == 3.0  # 30 s of audio in the 10 s until the last answer
    assert level["resident_mb"]["peak"] == 120
    document = {"levels": [level], "clips": 1, "shortest_s": 1, "longest_s": 2, "date": "now", "command": "load"}
    assert "| 3 | 5 | 3 | 2 | 0 | 2" in format_markdown(document)
    assert draw_svg(document).startswith("<svg")
