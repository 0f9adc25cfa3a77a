"""`plan`: its JSON, its text, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from neuron_whisper.cli.main import run
from neuron_whisper.planning.instances import GIB, INSTANCE_TYPES
from neuron_whisper.planning.placement import Assumptions
from neuron_whisper.planning.published_runs import PUBLISHED_RUNS


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
    assert decode["memory_s"] == pytest.approx(decode["bytes"] / (410 * GIB))
    assert (decode["launch_s"], decode["collectives_s"]) == (0.14e-3, pytest.approx(8 * 26e-6))
    assert decode["min_s"] == pytest.approx(0.14e-3 + 8 * 26e-6 + decode["memory_s"])
    assert decode["attention_scores"] == 2 * 10 * 8 * (448 + 1 + 1500)
    assert logits["to_host_bytes"] == 8 * (4 + 51_866 * 4)
    assert two["bounds"]["rtf"] == pytest.approx(1 / two["bounds"]["audio_per_s"])
    assert two["bounds"]["usd_per_audio_hour"] == pytest.approx(0.7582 * two["bounds"]["rtf"])
    assert sum(two["bounds"]["latency_parts_s"].values()) == pytest.approx(two["bounds"]["latency_s"])
    assert (one["core_groups"], two["core_groups"], two["crosses_chips"]) == ([[0], [1]], [[0, 1]], False)


def test_plan_compares_all_instances_and_names_the_cheapest(capsys: pytest.CaptureFixture[str]) -> None:
    answer = plan_json(capsys, "-m", "large-v3")
    placements = answer["placements"]
    assert set(answer["instances"]) == set(INSTANCE_TYPES)
    assert {it["instance"] for it in placements} == set(INSTANCE_TYPES)
    [cheap] = [it for it in placements if "cost" in it["best_for"]]
    assert cheap["bounds"]["usd_per_audio_hour"] == min(it["bounds"]["usd_per_audio_hour"] for it in placements)
    assert cheap["tp"] == 1


def test_plan_recommends_by_audio_for_a_dollar_and_by_latency(capsys: pytest.CaptureFixture[str]) -> None:
    answer = plan_json(capsys, "-m", "turbo", "--instance", "inf2.xlarge", "--instance", "trn2.3xlarge")
    cheap, quick = answer["recommended"]["audio_per_usd"], answer["recommended"]["latency"]
    assert (cheap["instance"], cheap["tp"], cheap["replicas"]) == ("trn2.3xlarge", 1, 4)
    assert (quick["instance"], quick["tp"], quick["replicas"]) == ("trn2.3xlarge", 2, 2)
    bounds = [it["bounds"] for it in answer["placements"]]
    assert cheap["audio_hours_per_usd"] == pytest.approx(max(it["audio_hours_per_usd"] for it in bounds))
    assert quick["latency_s"] == pytest.approx(min(it["latency_s"] for it in bounds))
    assert run(["plan", "-m", "turbo", "--instance", "inf2.xlarge", "--instance", "trn2.3xlarge"]) == 0
    out = capsys.readouterr().out
    assert "most audio per dollar  trn2.3xlarge, tp 1 x 4: at most" in out
    assert "least latency          trn2.3xlarge, tp 2 x 2: at least" in out


def test_where_nothing_fits_nothing_is_recommended(capsys: pytest.CaptureFixture[str]) -> None:
    command = ("-m", "large-v3", "--instance", "inf2.xlarge", "--slots", "1000")
    assert plan_json(capsys, *command)["recommended"] == {"audio_per_usd": None, "latency": None}
    assert run(["plan", *command]) == 0
    assert "recommended  nothing: no placement fits" in capsys.readouterr().out


def test_plan_takes_prices_from_flags_before_those_of_a_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "prices.toml"
    path.write_text('"inf2.xlarge" = 0.3\n"trn2.3xlarge" = 1.0\n', encoding="utf-8")
    answer = plan_json(capsys, "-m", "base", "--price", str(path), "--hourly", "trn2.3xlarge=0.5")
    prices = {name: it["price"] for name, it in answer["instances"].items()}
    assert (prices["inf2.xlarge"]["usd_per_hour"], prices["inf2.xlarge"]["source"]) == (0.3, str(path))
    assert (prices["trn2.3xlarge"]["usd_per_hour"], prices["trn2.3xlarge"]["source"]) == (0.5, "--hourly")
    assert (prices["trn1.2xlarge"]["usd_per_hour"], prices["trn1.2xlarge"]["date"]) == (1.34375, "2026-07-20")
    assert answer["recommended"]["audio_per_usd"]["instance"] == "trn2.3xlarge"
    dear = plan_json(capsys, "-m", "base", "--hourly", "trn2.3xlarge=50")
    assert dear["recommended"]["audio_per_usd"]["instance"] != "trn2.3xlarge"
    assert dear["recommended"]["latency"] == answer["recommended"]["latency"] | {
        "audio_hours_per_usd": pytest.approx(answer["recommended"]["latency"]["audio_hours_per_usd"] / 100)
    }


def test_published_runs_stand_beside_their_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    runs = plan_json(capsys, "--published")["runs"]
    assert len(runs) == len(PUBLISHED_RUNS)
    assert all(it["bound_s"] < it["took_s"] for it in runs)
    assert run(["plan", "--published"]) == 0
    out = capsys.readouterr().out
    assert len([line for line in out.splitlines() if line.startswith(("large-v3", "kotoba", "tiny"))]) == len(runs)


def test_published_runs_are_chosen_by_model_and_instance(capsys: pytest.CaptureFixture[str]) -> None:
    def find(*args: str) -> list[tuple[str, str]]:
        return [(it["model"], it["instance"]) for it in plan_json(capsys, "--published", *args)["runs"]]

    assert set(find("-m", "turbo")) == {("large-v3-turbo", "trn2.3xlarge")}
    assert find("-m", "kotoba-v2.0") == [("kotoba-v2.2", "inf2.xlarge")]  # of the same dimensions
    assert {instance for _, instance in find("--instance", "inf2.xlarge")} == {"inf2.xlarge"}
    assert find("-m", "medium") == []
    assert run(["plan", "--published", "-m", "medium"]) == 0
    assert capsys.readouterr().out == "no published run of these is known\n"


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
        (("-m", "base", "--hourly", "inf3.xlarge=1"), 2, "hourly: 'inf3.xlarge' is not allowed; one of inf2.xlarge"),
        (("-m", "base", "--hourly", "inf2.xlarge=free"), 2, "hourly: 'inf2.xlarge=free' is not allowed; TYPE=USD"),
        (("-m", "base", "--hourly", "0.35"), 2, "hourly: '0.35' is not allowed; TYPE=USD"),
        (("-m", "base", "--price", "/none.toml"), 2, "price: '/none.toml' is not allowed; a file that can be read"),
        (
            ("-m", "base", "--instance", "trn2.3xlarge", "--set", 'compiler.args=["--lnc=1"]'),
            2,
            "compiler.args: '--lnc=1' is not allowed; --lnc=2: what is known of trn2.3xlarge is of that",
        ),
        (("--published", "--tp", "2"), 2, "--tp has no meaning with --published"),
        (("--published", "-m", "base", "--hourly", "inf2.xlarge=1"), 2, "--hourly has no meaning with --published"),
        (("--published", "--instance", "inf3"), 2, "instance: 'inf3' is not allowed"),
        (("--published", "-m", "kotoba-v9"), 1, "no model named 'kotoba-v9'"),
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


@pytest.mark.parametrize(
    ("args", "field"),
    [
        (("--reserve", "nan"), "reserve"),
        (("--reserve", "inf"), "reserve"),
        (("--reserve", "1e30"), "reserve"),
        (("--tokens", "445"), "tokens"),
        (("--tokens", "61", "--set", "shapes.text_context=64", "--set", "shapes.prompt_buckets=[4]"), "tokens"),
    ],
)
def test_a_reserve_that_is_no_memory_and_more_tokens_than_a_window_has_are_refused(
    capsys: pytest.CaptureFixture[str], args: tuple[str, ...], field: str
) -> None:
    assert run(["plan", "-m", "base", "--instance", "inf2.xlarge", *args]) == 2
    assert field in capsys.readouterr().err


def test_as_many_tokens_as_a_window_has_are_planned(capsys: pytest.CaptureFixture[str]) -> None:
    answer = plan_json(capsys, "-m", "base", "--instance", "inf2.xlarge", "--tp", "1", "--tokens", "444")
    assert answer["assumptions"]["tokens_per_window"] == 444
