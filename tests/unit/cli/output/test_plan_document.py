"""The JSON of `plan`: all of it can be written, and says where prices and published times are from."""

from __future__ import annotations

import json
from dataclasses import replace

from neuron_whisper.cli.output.plan_document import make_plan_document, make_published_document
from neuron_whisper.planning.instances import INSTANCE_TYPES
from neuron_whisper.planning.placement import Assumptions, place
from neuron_whisper.planning.published_runs import PUBLISHED_RUNS, bound_run
from neuron_whisper.profile import parse_profile
from tests.support.tiny_program import spec as tiny_spec

PROFILE = parse_profile('format = 1\n[target]\nname = "neuron"\ndtype = "bfloat16"\n')


def test_an_instance_is_described_with_its_logical_cores_and_the_source_of_its_price() -> None:
    spec, instance = tiny_spec(), INSTANCE_TYPES["trn2.3xlarge"]
    placement = place(spec, instance, tp=2, replicas=2, dtypes=("bfloat16", "bfloat16"))
    document = json.loads(json.dumps(make_plan_document("tiny", PROFILE, spec, Assumptions(), [placement], [["cost"]])))
    described = document["instances"]["trn2.3xlarge"]
    assert (described["chips"], described["cores_per_chip"], described["lnc"]) == (1, 4, 2)
    assert described["price"]["date"] == "2026-08-04"
    assert described["price"]["source"].startswith("alpharomercoma/torchneuronx@")
    assert described["core"]["launch_s"] == 0.14e-3
    [placed] = document["placements"]
    assert (placed["core_groups"], placed["best_for"]) == ([[0, 1], [2, 3]], ["cost"])
    assert "the start of a graph" not in document["assumptions"]["not_counted"]
    assert document["assumptions"]["starts_and_collectives"].startswith("foxl-ai/kiln@")


def test_an_instance_without_a_price_has_none_and_no_cost() -> None:
    spec, instance = tiny_spec(), replace(INSTANCE_TYPES["inf2.xlarge"], price=None)
    placement = place(spec, instance, tp=1, replicas=1, dtypes=("bfloat16", "bfloat16"))
    document = make_plan_document("tiny", PROFILE, spec, Assumptions(), [placement], [[]])
    assert document["instances"]["inf2.xlarge"]["price"] is None
    assert document["placements"][0]["bounds"]["usd_per_audio_hour"] is None
    assert document["recommended"]["audio_per_usd"] is None
    assert document["recommended"]["latency"]["tp"] == 1


def test_a_published_run_has_its_source_and_the_tokens_that_are_assumed() -> None:
    known = next(run for run in PUBLISHED_RUNS if run.tokens)
    unknown = next(run for run in PUBLISHED_RUNS if not run.tokens)
    document = json.loads(json.dumps(make_published_document([bound_run(known), bound_run(unknown)])))
    first, second = document["runs"]
    assert (first["tokens"], first["tokens_assumed"]) == (30, None)
    assert (second["tokens"], second["tokens_assumed"]) == (None, 15)
    assert first["source"] == known.source
    assert sum(first["bound_parts_s"].values()) == first["bound_s"]
