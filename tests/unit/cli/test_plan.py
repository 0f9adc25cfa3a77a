"""`plan`: its JSON, its text, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from neuron_whisper.cli.main import run
from neuron_whisper.planning.instances import GIB, INSTANCE_TYPES
from neuron_whisper.planning.placement import Assumptions


def plan_json(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    assert run(["plan", *args, "--json"]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def test_plan_answers_in_json_what_capacity_computes(capsys: pytest.CaptureFixture[str]) -> None:
    answer = plan_json(capsys, "--model", "kotoba-v2.2", "--instance", "inf2.xlarge")
    assert answer["kind"].startswith("computed, not measured")
    assert answer["assumptions"]["tokens_per_window"] == Assumptions().tokens
    assert answer["assumptions"]["reserve_bytes"] == Assumptions().reserve_bytes
    one, two = answer["placements"]
    assert (one["tp"], one["replicas"], one["best_for"]) == (1, 2, ["throughput"])
    assert (two["tp"], two["replicas"], two["best_for"]) == (2, 1, ["latency"])
    assert [graph["graph"] for graph in two["graphs"]] == [
        "encode 1",
        "prefill 4",
        "prefill 32",
        "prefill 256",
        "decode 8",
        "logits 8",
        "align 64",
        "align 256",
    ]
    decode, logits = two["graphs"][-4:-2]
    assert decode["weight_bytes"] == 112_353_280
    assert decode["bound_by"] == "memory"
    assert decode["min_s"] == pytest.approx(decode["bytes"] / (410 * GIB))
    assert logits["to_host_bytes"] == 8 * (4 + 51_866 * 4)
    assert two["bounds"]["rtf"] == pytest.approx(1 / two["bounds"]["audio_per_s"])
    assert two["bounds"]["usd_per_audio_hour"] == pytest.approx(0.7582 * two["bounds"]["rtf"])


def test_plan_compares_all_instances_and_names_the_cheapest(capsys: pytest.CaptureFixture[str]) -> None:
    placements = plan_json(capsys, "-m", "large-v3")["placements"]
    assert {it["instance"] for it in placements} == set(INSTANCE_TYPES)
    [cheap] = [it for it in placements if "cost" in it["best_for"]]
    costs = [it["bounds"]["usd_per_audio_hour"] for it in placements]
    assert cheap["bounds"]["usd_per_audio_hour"] == min(cost for cost in costs if cost is not None)
    assert {it["instance"] for it in placements if it["bounds"]["usd_per_audio_hour"] is None} == {"trn1.2xlarge"}


def test_plan_takes_sizes_from_flags_and_from_a_profile(capsys: pytest.CaptureFixture[str]) -> None:
    answer = plan_json(capsys, "-m", "base", "--tp", "4", "--replicas", "4", "--slots", "3", "--dtype", "float32")
    assert {(it["instance"], it["tp"], it["replicas"]) for it in answer["placements"]} == {
        ("inf2.48xlarge", 4, 4),
        ("trn1.32xlarge", 4, 4),
    }
    program = answer["program"]
    assert (program["slots"], program["dtype"], program["weights_dtype"]) == (3, "float32", "float32")
    answer = plan_json(capsys, "-m", "turbo", "--profile", "neuron-large-v3-turbo-inf2.24xlarge-tp4", "--slots", "5")
    [only] = answer["placements"]
    assert (only["instance"], only["tp"], only["replicas"]) == ("inf2.24xlarge", 4, 3)
    assert only["best_for"] == []  # there was no choice
    assert (answer["program"]["slots"], answer["program"]["align_buckets"]) == (5, [64, 256])


def test_plan_states_that_nothing_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "-m", "large-v3", "--instance", "inf2.xlarge", "--slots", "60"]) == 0
    out = capsys.readouterr().out
    assert "computed, not measured" in out
    assert "36: too few" in out
    assert "and 17.2 GB is available" in out
    assert len([line for line in out.splitlines() if line.startswith("decode 60")]) == 1  # of tp 2, which fits


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("-m", "kotoba-v9"), 1, "no model named 'kotoba-v9'; known here: tiny, "),
        (("-m", "base", "--instance", "inf3.xlarge"), 2, "instance: 'inf3.xlarge' is not allowed; one of inf2.xlarge"),
        (("-m", "base", "--instance", "inf2.xlarge", "--tp", "4"), 2, "tp: 4 is not allowed; at most 2"),
        (("-m", "base", "--tp", "3"), 2, "tp: 3 is not allowed; a divisor of 2048"),
        (("-m", "base", "--dtype", "int8"), 2, "(found 'int8'; allowed: float32, bfloat16, float16)"),
        (("-m", "base", "--weights-dtype", "int8"), 2, "weights.dtype: 'int8' is not allowed"),
        (("-m", "base", "--slots", "2000"), 2, "slots: 2000 is not allowed"),
        ((), 2, "Missing option"),
    ],
)
def test_plan_refuses_impossible_sizes(
    capsys: pytest.CaptureFixture[str], args: tuple[str, ...], code: int, message: str
) -> None:
    assert run(["plan", *args]) == code
    output = capsys.readouterr()
    assert message in output.err
    assert not output.out


@pytest.mark.parametrize(
    ("tp", "instance", "jobs", "fits", "said"),
    [
        (2, "inf2.xlarge", 1, True, "on inf2.xlarge: compiling all 8 graphs at once takes about"),
        (1, "inf2.xlarge", 1, False, "on inf2.xlarge: compiling one graph at a time takes about"),
        (2, "inf2.8xlarge", 8, True, None),
    ],
)
def test_plan_says_what_compile_does_with_the_instances_memory(
    capsys: pytest.CaptureFixture[str], tp: int, instance: str, jobs: int, fits: bool, said: str | None
) -> None:
    command = ["--model", "kotoba-v2.2", "--instance", instance, "--tp", str(tp)]
    estimate = plan_json(capsys, *command)["placements"][0]["compile_estimate"]
    assert (estimate["jobs"], estimate["fits_here"]) == (jobs, fits)
    assert run(["plan", *command]) == 0
    text = capsys.readouterr().out
    assert (said is None) == (estimate["warning"] is None) == (f"on {instance}: " not in text)
    if said is not None:
        assert said in text
        assert f"on {instance}: {estimate['warning']}" in text
