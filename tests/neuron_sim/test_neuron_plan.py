"""What `plan` computes is what the graphs cost once they are lowered."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from neuron_whisper.cli.main import run
from neuron_whisper.model.published_dims import PUBLISHED_DIMS
from neuron_whisper.planning.cost_model import (
    GraphCost,
    RankCostModel,
)
from neuron_whisper.profile import load_profile, parse_profile
from neuron_whisper.target.interfaces import ProgramSpec, spec_from_profile
from tests import neuron_sim

if TYPE_CHECKING:
    from tests.neuron_sim.costs import HloBudget

needs_simulator = pytest.mark.skipif(
    not neuron_sim.is_installed(), reason="no simulator: that plan's figures are those of the graphs is not proved"
)
# The index of a rank, from which its part of the vocabulary follows, is a weight of the graphs that embed tokens.
RANK_BYTES = 4


def graph_budgets(spec: ProgramSpec, tp: int) -> dict[str, HloBudget]:
    """By the name that `plan` gives the graph."""
    from tests.neuron_sim.graph_budgets import program_budgets

    found = program_budgets(spec, tp, torch.bfloat16)
    sizes = {"prefill": spec.prompt_buckets, "encode": spec.encode_batches, "align": spec.align_buckets}
    named = {}
    for key, cost in found.items():
        tag, place = key.split()
        rows = f"{spec.slots}" if spec.beams == 1 else f"{spec.slots}x{spec.beams}"
        named[f"{tag} {sizes[tag][int(place)] if tag in sizes else rows}"] = cost
    return named


def figures(cost: GraphCost) -> dict[str, int]:
    return {
        "flops": cost.flops,
        "scores": cost.attention_scores,
        "weights": cost.weight_bytes,
        "caches read": cost.cache_read_bytes,
        "caches written": cost.cache_write_bytes,
        "from the host": cost.from_host_bytes,
        "to the host": cost.to_host_bytes,
        "collectives": cost.collectives,
        "exchanged": cost.collective_bytes,
    }


def lowered_figures(cost: HloBudget, positions: set[int]) -> dict[str, int]:
    """`positions` are the lengths over which attention takes softmaxes; the others are of the vocabulary."""
    exponentials = [shape for shape in cost.operations.exponentials if shape[-1] in positions]
    return {
        "flops": cost.flops,
        "scores": sum(math.prod(shape) for shape in exponentials),
        "weights": cost.weight_bytes,
        "caches read": cost.state_read_bytes,
        "caches written": cost.state_write_bytes,
        "from the host": cost.from_host_bytes,
        "to the host": cost.to_host_bytes,
        "collectives": sum(one.count for one in cost.collectives),
        "exchanged": cost.collective_bytes,
    }


def dropped_align_costs(spec: ProgramSpec, tp: int, length: int) -> dict[str, int]:
    """What torch_xla drops of align's last layer, which no output needs; at tp > 1 sums are kept, in their order."""
    state, positions = spec.dims.n_text_state, spec.dims.n_audio_ctx
    if tp > 1:
        return {"weights": 2 * state}  # the bias behind the last sum
    out, mlp = state * state, 2 * 4 * state * state
    norms_and_biases = state + 2 * state + 5 * state
    return {
        "flops": 2 * length * (positions * state + out + mlp),
        "weights": 2 * (out + mlp + norms_and_biases),
        "caches read": 2 * positions * state,
    }


@needs_simulator
@pytest.mark.parametrize(
    ("model", "beams", "tp"),
    [
        ("base", 1, 1),
        ("base", 3, 2),
        ("base", 1, 8),
        ("kotoba-v2.2", 1, 1),
        ("kotoba-v2.2", 1, 2),
        ("large-v3-turbo", 1, 1),
        ("large-v3-turbo", 1, 2),
    ],
)
def test_every_figure_of_a_graph_is_that_of_its_hlo(model: str, beams: int, tp: int) -> None:
    """To the byte and to the FLOP."""
    profile = parse_profile(
        'format = 1\n[target]\nname = "neuron"\n[shapes]\nslots = 8\nencode_batch = 2\nprompt_buckets = [4, 32]\n'
        f"align = true\nbeams = {beams}\n"
    )
    spec = spec_from_profile(PUBLISHED_DIMS[model], profile)
    last = spec.dims.n_text_layer - 1
    spec = replace(spec, alignment_heads=((last // 2, 0), (last, 1)))
    hlo = graph_budgets(spec, tp)
    costs = RankCostModel(spec, tp=tp, dtype="bfloat16", weights_dtype="bfloat16").estimate_graphs()
    assert sorted(cost.graph for cost in costs) == sorted(hlo)
    positions = {spec.dims.n_audio_ctx, spec.text_context + 1, *spec.prompt_buckets, *spec.align_buckets}
    for cost in costs:
        planned, lowered = figures(cost), lowered_figures(hlo[cost.graph], positions)
        if tp > 1 and not cost.graph.startswith("encode"):
            planned["weights"] += RANK_BYTES
        if cost.graph.startswith("align"):
            for name, dropped in dropped_align_costs(spec, tp, int(cost.graph.split()[1])).items():
                planned[name] -= dropped
        assert lowered == planned, cost.graph


@needs_simulator
def test_what_plan_prints_for_kotoba_on_an_inf2_is_what_its_graphs_cost(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "--model", "kotoba-v2.2", "--instance", "inf2.xlarge", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    spec = spec_from_profile(PUBLISHED_DIMS["kotoba-v2.2"], load_profile("neuron-kotoba-v2-inf2.xlarge-tp2"))
    assert {placement["tp"] for placement in answer["placements"]} == {1, 2}
    for placement in answer["placements"]:
        tp = placement["tp"]
        hlo = graph_budgets(replace(spec, align_buckets=()), tp)
        # align's heads are a checkpoint's, of which plan reads nothing: the test above knows them
        graphs = [graph for graph in placement["graphs"] if not graph["graph"].startswith("align")]
        assert {graph["graph"] for graph in graphs} == set(hlo)
        for graph in graphs:
            cost = hlo[graph["graph"]]
            has_rank = tp > 1 and not graph["graph"].startswith("encode")
            assert graph["flops"] == cost.flops
            assert graph["min_s"] >= graph["launch_s"] + cost.flops / 95e12
            assert graph["weight_bytes"] == cost.weight_bytes - has_rank * RANK_BYTES
            caches = cost.state_read_bytes + cost.state_write_bytes
            assert graph["bytes"] == graph["weight_bytes"] + caches + cost.from_host_bytes + cost.to_host_bytes
