"""The report of a demo: what it holds, as JSON and as Markdown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from neuron_whisper.cli.demo.public_text import PublicText
from neuron_whisper.cli.demo.report import SIMULATED, build_report, format_markdown, write_report
from neuron_whisper.cli.demo.stages import StageLog
from neuron_whisper.errors import OutputUnwritable, TargetUnavailable

ENVIRONMENT = {
    "NEURON_RT_VISIBLE_CORES": "0-1",
    "NEURON_RT_ROOT_COMM_ID": "10.1.2.3:4567",
    "NEURON_CC_FLAGS": "--cache=/data/alice/x",
    "HF_TOKEN": "secretsecret",
}
FACTS: dict[str, Any] = {
    "model": "/data/alice/models/own",
    "profile_name": "neuron-base-inf2.xlarge-tp2",
    "profile": {"target": {"name": "neuron", "tp": 2}},
    "checks": [{"name": "cache", "verdict": "warn", "found": "/data/alice/.cache", "advice": "use | another"}],
    "artifact": {"name": "base-neuron-tp2-0123", "key": "0123" * 16, "size_bytes": 5, "was_stored": False},
    "compile_steps": [
        {"at_s": 0.5, "step": "golden tokens", "done": 0, "total": None},
        {"at_s": 12.25, "step": "compiling encode 1", "done": 3, "total": 5},
    ],
    "speech": {"origin": "kazoeru.wav", "audio_s": 1.77},
    "result": {
        "text": "一二三 ```",
        "texts_vary": False,
        "seconds": [2.0, 0.5, 0.6],
        "rtf": 0.3107,
        "graphs": {"encode": {"calls": 3, "mean_s": 0.0125}},
        "server_peak_bytes": 1,
    },
}


def make_report(stages: StageLog, facts: dict[str, Any]) -> dict[str, Any]:
    return build_report(stages, facts, ENVIRONMENT, PublicText(ENVIRONMENT, home="/data/alice", host="thehost"))


@pytest.fixture
def finished() -> dict[str, Any]:
    stages = StageLog(("check", "transcribe"))
    for name in stages.stages:
        with stages.run(name) as stage:
            stage.found = "torch-neuronx 2.9"
    stages.warn("memory: 15 GB\nmay not do")
    return make_report(stages, FACTS)


@pytest.fixture
def failed() -> dict[str, Any]:
    stages = StageLog(("check", "compile"))
    error = TargetUnavailable("neuron", "HF_TOKEN=secretsecret in /data/alice", "pip install it")
    error.add_note("nrt_init failed\nin /data/alice with secretsecret")
    with pytest.raises(TargetUnavailable), stages.run("check"):
        raise error
    return make_report(stages, {"model": "base"})


def test_it_tells_versions_machine_neuron_stages_result_and_warnings(finished: dict[str, Any]) -> None:
    assert finished["outcome"] == "ok"
    assert finished["error"] is None
    assert [(it["name"], it["state"]) for it in finished["stages"]] == [("check", "ok"), ("transcribe", "ok")]
    assert all(it["seconds"] >= 0 for it in finished["stages"])
    assert finished["result"]["rtf"] == 0.3107
    assert finished["artifact"]["key"] == "0123" * 16
    assert finished["warnings"] == ["memory: 15 GB\nmay not do"]
    assert set(finished["machine"]) >= {"instance", "processor", "cores", "memory_bytes", "libc", "python"}
    assert set(finished["neuron"]) == {
        "devices", "driver", "runtime", "sdk", "packages", "simulated", "environment",
    }  # fmt: skip
    assert json.loads(json.dumps(finished)) == finished


def test_nothing_private_is_in_it(finished: dict[str, Any], failed: dict[str, Any]) -> None:
    assert finished["model"] == "~/models/own"
    assert finished["neuron"]["environment"] == {
        "NEURON_CC_FLAGS": "--cache=~/x", "NEURON_RT_ROOT_COMM_ID": "***", "NEURON_RT_VISIBLE_CORES": "0-1",
    }  # fmt: skip
    for document in (finished, failed):
        text = json.dumps(document) + format_markdown(document)
        assert "secretsecret" not in text
        assert "/data/alice" not in text


def test_a_failed_stage_is_the_outcome_and_later_ones_were_not_reached(failed: dict[str, Any]) -> None:
    assert failed["outcome"] == "failed at check"
    assert (failed["error"]["stage"], failed["error"]["kind"]) == ("check", "TargetUnavailable")
    assert "pip install it" in failed["error"]["message"]
    assert [it["state"] for it in failed["stages"]] == ["failed", "not reached"]
    text = format_markdown(failed)
    assert text.startswith("# neuron-whisper demo: failed at check\n\n```text\nTargetUnavailable at check:\n")
    assert "## Result" not in text
    assert failed["error"]["log"] == "nrt_init failed\nin ~ with ***"
    assert "```text\nnrt_init failed\nin ~ with ***\n```\n\n</details>" in text


def test_people_read_tables_and_a_text_cannot_break_out_of_its_block(finished: dict[str, Any]) -> None:
    text = format_markdown(finished)
    assert "| profile | neuron-base-inf2.xlarge-tp2 |" in text
    assert "| speech | kazoeru.wav, 1.77 s |" in text
    assert "| encode | 3 | 12.50 |" in text
    assert "| golden tokens | – | 0.5 |\n| compiling encode 1 | 3 of 5 | 12.2 |" in text
    assert "````text\n一二三 ```\n````" in text
    assert "- memory: 15 GB may not do" in text
    assert "| cache | warn | ~/.cache | use \\| another |" in text
    block = text.partition("````json\n")[2].partition("\n````")[0]
    assert json.loads(block) == finished


def test_the_simulator_is_named_at_the_top(finished: dict[str, Any]) -> None:
    finished["neuron"]["simulated"] = True
    assert format_markdown(finished).splitlines()[2] == SIMULATED
    finished["neuron"]["simulated"] = False
    assert SIMULATED not in format_markdown(finished)


def test_the_name_of_a_file_chooses_its_form(finished: dict[str, Any], tmp_path: Path) -> None:
    write_report(finished, tmp_path / "a.json")
    write_report(finished, tmp_path / "a.md")
    assert json.loads((tmp_path / "a.json").read_text()) == finished
    assert (tmp_path / "a.md").read_text().startswith("# neuron-whisper demo: ok\n")
    with pytest.raises(OutputUnwritable):
        write_report(finished, tmp_path / "none" / "a.md")
