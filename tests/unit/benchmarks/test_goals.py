"""The goals beside peers: what is measured on, how figures are judged and told, servers and their clients."""

from __future__ import annotations

import json
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.goals.__main__ import main
from benchmarks.goals.clients import run_clients
from benchmarks.goals.http_peer import Handler, Server, parse_form
from benchmarks.goals.markdown import format_markdown
from benchmarks.goals.measure import RowResult, format_engine_note, list_worker_settings
from benchmarks.goals.picture import draw_svg
from benchmarks.goals.report import build_row_report, judge_goals, merge_reports
from benchmarks.goals.rows import GOALS, ROWS, select_rows
from benchmarks.goals.speech import Recording
from neuron_whisper.cli.main import run
from neuron_whisper.errors import InvalidOption, TargetUnavailable
from tests.support.tiny_models import TINY_DIMS, tiny_profile, write_tiny_checkpoint

__all__ = ["tiny_profile"]  # a fixture


# --- what is measured on --------------------------------------------------------------------------


def test_every_goal_is_of_a_row_that_has_its_peer_and_its_figure() -> None:
    rows = {row.name: row for row in ROWS}
    for goal in GOALS:
        row = rows[goal.row]
        assert goal.metric in row.metrics
        assert goal.peer in {peer.partition(":")[0] for peer in row.peers}


def test_rows_are_chosen_by_name_in_the_tables_order() -> None:
    assert [row.name for row in select_rows(["hour", "short"])] == ["short", "hour"]
    assert select_rows([]) == ROWS
    with pytest.raises(InvalidOption, match="--rows: 'day' is not allowed; short, long-greedy"):
        select_rows(["day"])


# --- how it is judged -----------------------------------------------------------------------------

RECORDINGS = [
    Recording(name=name, language="en", reference="ask not what", samples=Path(name), duration_s=10.0)
    for name in ("a", "b")
]


def row_result(name: str, seconds: list[float], texts: tuple[str, str] = ("ask not what", "ask not what")) -> RowResult:
    return RowResult(
        name, name.split()[0], {"versions": {"x": "1"}}, {"seconds": seconds}, dict(zip("ab", texts, strict=True))
    )


def merged_report(*results: RowResult, row: str = "short", processor: str = "P") -> dict[str, Any]:
    [chosen] = select_rows([row])
    about = {"load_before": 0.5, "requests_audio_s": 20.0}
    return {
        "format": 1,
        "date": "2026-11-25T00:00:00+00:00",
        "command": "make bench-peers",
        "versions": {"x": "1"},
        "machine": {"processor": processor, "cores": 2, "instruction_sets": ["avx2"]},
        "rows": [build_row_report(chosen, RECORDINGS, results, about)],
    }


def test_a_goal_is_met_by_the_ratio_of_medians_with_equal_errors() -> None:
    found = judge_goals(
        merged_report(
            row_result("neuron-whisper cpu", [2.0, 1.0, 9.0]),
            row_result("faster-whisper int8", [7.0, 1.0, 6.0]),
            row_result("openvino-genai default", [2.0]),
        )
    )
    faster, genai, cpp = (
        next(it for it in found if it.goal.peer == peer)
        for peer in (
            "faster-whisper",
            "openvino-genai",
            "whisper.cpp",
        )
    )
    assert (faster.ratio, faster.wer_difference, faster.is_met) == (3.0, 0.0, True)
    assert (genai.ratio, genai.is_met) == (1.0, False)
    assert (cpp.ratio, cpp.is_met) == (None, None)  # not measured: not judged


def test_a_faster_text_with_more_errors_meets_no_goal() -> None:
    [faster, *_] = judge_goals(
        merged_report(
            row_result("neuron-whisper cpu", [1.0], ("ask not what", "ask")),
            row_result("faster-whisper int8", [9.0]),
        )
    )
    assert faster.ratio == 9.0
    assert faster.wer_difference == pytest.approx(2 / 6, abs=1e-4)
    assert faster.is_met is False


def test_a_system_that_failed_is_named_and_judged_nowhere() -> None:
    broken = row_result("faster-whisper int8", [1.0])
    broken.error = "its process ended with 1"
    found = merged_report(row_result("neuron-whisper cpu", [1.0]), broken)
    assert judge_goals(found)[0].is_met is None
    assert "short: faster-whisper int8 was not measured: its process ended with 1." in format_markdown(found)


def test_results_of_parts_are_joined_row_by_row_and_the_later_one_holds() -> None:
    first, hour = merged_report(row_result("neuron-whisper cpu", [5.0])), merged_report(row="hour", processor="Q")
    later = merged_report(row_result("neuron-whisper cpu", [4.0]))
    found = merge_reports([hour, first, later])
    assert [(row["name"], row["machine"]) for row in found["rows"]] == [("short", "P"), ("hour", "Q")]
    assert found["rows"][0]["systems"][0]["metrics"]["seconds"]["median"] == 4.0
    assert merge_reports([json.loads(json.dumps(found))]) == json.loads(json.dumps(found))
    with pytest.raises(InvalidOption, match="format 1"):
        merge_reports([{"format": 2, "rows": []}])


def test_the_tables_have_as_many_cells_in_every_row_and_count_what_is_met() -> None:
    text = format_markdown(
        merged_report(row_result("neuron-whisper cpu", [1.0, 2.0]), row_result("faster-whisper int8", [6.0, 6.5]))
    )
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 2
    for lines in tables:
        assert {line.count("|") for line in lines} == {lines[0].count("|")}
    assert "| short clips one after another, greedy, s | faster-whisper int8 | 1.50 | 6.25 | 4.17 | 3 |" in text
    assert "1 of 1 goals are met by neuron-whisper cpu." in text
    assert "2: 1.00 to 2.00" in text


def test_the_picture_has_a_bar_and_a_line_for_each_goal_that_was_judged() -> None:
    found = judge_goals(
        merged_report(row_result("neuron-whisper cpu", [1.0]), row_result("faster-whisper int8", [6.0]))
    )
    drawn = ET.fromstring(draw_svg(found))
    space = "{http://www.w3.org/2000/svg}"
    _, bar = drawn.findall(f"{space}rect")
    [line] = drawn.findall(f"{space}line")
    left = float(bar.get("x", 0))
    assert float(line.get("x1", 0)) - left == pytest.approx(float(bar.get("width", 0)) / 2, abs=0.1)


# --- servers and clients --------------------------------------------------------------------------


def test_workers_and_threads_are_tried_from_one_that_has_all_cores_to_two_for_each() -> None:
    assert list_worker_settings(2) == ("1x2", "2x1", "2x2", "4x1")
    assert list_worker_settings(1) == ("1x1", "2x1")


def test_how_full_the_slots_were_is_read_from_the_servers_metrics() -> None:
    told = """# TYPE neuron_whisper_step_rows histogram
neuron_whisper_step_rows_bucket{le="1.0",model="base"} 1.0
neuron_whisper_step_rows_count{model="base"} 4.0
neuron_whisper_step_rows_sum{model="base"} 24.0
neuron_whisper_step_seconds_sum{model="base"} 3.0
neuron_whisper_encode_seconds_sum{model="base"} 6.0
neuron_whisper_prefill_seconds_sum{model="base"} 1.0
neuron_whisper_align_seconds_sum{model="base"} 0.0
"""
    assert format_engine_note(told) == (
        "6.0 rows in a step on average; of the device's time encode 60 %, prefill 10 %, step 30 %"
    )
    assert format_engine_note("") == "0.0 rows in a step on average"


@contextmanager
def serve_peer(transcribe: Any) -> Iterator[str]:
    """faster-whisper's server around a model that is not there."""
    own = {"model": SimpleNamespace(transcribe=transcribe), "slots": threading.Semaphore(1)}
    handler = type("Own", (Handler,), own)
    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_clients_send_every_clip_once_and_read_its_text(tmp_path: Path) -> None:
    clips = []
    for n in range(7):
        (tmp_path / f"{n}.wav").write_bytes(bytes([n]) * 1000 + b"\r\n--\x00")
        clips.append((tmp_path / f"{n}.wav", "de"))

    def transcribe(file: Any, *, language: str, beam_size: int) -> tuple[list[Any], None]:
        content = file.read()
        assert (language, beam_size, content[-5:]) == ("de", 1, b"\r\n--\x00")
        return [SimpleNamespace(text=f" {content[0]}"), SimpleNamespace(text=f" of {len(content)}")], None

    with serve_peer(transcribe) as url:
        found = run_clients(url, clips, 3)
    assert found.texts == tuple(f"{n} of 1005" for n in range(7))
    assert all(0 < latency <= found.seconds for latency in found.latencies_s)


def test_an_answer_that_is_no_text_ends_the_load(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"a")

    class Refusing(Handler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_error(503, "no room")

    with Server(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with pytest.raises(TargetUnavailable, match="HTTP 503"):
            run_clients(f"http://127.0.0.1:{server.server_address[1]}", [(tmp_path / "a.wav", "en")] * 3, 2)
        server.shutdown()
        thread.join()


def test_a_form_is_read_as_python_writes_it() -> None:
    body = b'--x\r\ncontent-disposition: form-data; name="a"\r\n\r\none\r\n--x--\r\n'
    assert parse_form("multipart/form-data; boundary=x", body) == {"a": b"one"}


# --- a whole run ----------------------------------------------------------------------------------


def test_a_whole_run_measures_ours_in_processes_and_over_http_and_names_the_peers_that_are_missing(
    tiny_profile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from scipy.io import wavfile

    cache = tmp_path / "cache"
    monkeypatch.setenv("NEURON_WHISPER_CACHE", str(cache))
    checkpoint = write_tiny_checkpoint(tmp_path / "tiny-random.en", dims=replace(TINY_DIMS, n_text_ctx=24))
    assert run(["compile", "--model", str(checkpoint), "--profile", str(tiny_profile)]) == 0
    artifact = Path(capsys.readouterr().out.strip()).name
    rows = []
    for name, seconds in (("short", 2), ("long", 31)):
        noise = (3000 * np.random.default_rng(0).standard_normal(16_000 * seconds)).astype(np.int16)
        wavfile.write(tmp_path / f"{name}.wav", 16_000, noise)
        rows.append(json.dumps({"path": f"{name}.wav", "text": "ask not", "language": "en"}))
    (tmp_path / "speech.jsonl").write_text("\n".join(rows))
    code = main(
        [
            str(tmp_path / "speech.jsonl"),
            "--artifact",
            f"tiny={artifact}",
            "--rows",
            "short,clients-8",
            "--runs",
            "1",
            "--threads",
            "1",
            "--json",
            str(tmp_path / "found.json"),
            "--picture",
            str(tmp_path / "a.svg"),
        ]
    )
    said = capsys.readouterr()
    assert code == 0, said.err
    found = json.loads((tmp_path / "found.json").read_text())
    assert [row["name"] for row in found["rows"]] == ["short", "clients-8"]
    for row, metrics in zip(found["rows"], (("seconds",), ("seconds", "p95_s")), strict=True):
        ours, *theirs = row["systems"]
        assert ours["name"] == "neuron-whisper tiny"
        assert not ours["fault"]
        assert all(ours["metrics"][metric]["median"] > 0 for metric in metrics)
        assert 50e6 < ours["metrics"]["peak_bytes"]["median"] < 3e9
        assert ours["metrics"]["cpu_s"]["median"] > 0
        assert ours["wer"]["reference"] == 2
        assert theirs
        if row["name"] == "clients-8":
            assert ours["note"] == "0.0 rows in a step on average"  # nobody speaks in noise: nothing is decoded
    assert found["command"] == "make bench-peers GOALS='--rows short,clients-8 --runs 1 --threads 1'"
    assert "| short | neuron-whisper tiny |" in said.out
    code = main(["--merge", str(tmp_path / "found.json")])
    assert code == 0
    assert "| short | neuron-whisper tiny |" in capsys.readouterr().out
