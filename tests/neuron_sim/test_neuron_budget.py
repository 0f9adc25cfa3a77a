"""What the Neuron graphs cost a core at the sizes of real models, next to NxDI's own Whisper, from the HLO.

`sh tests/neuron_sim/run.sh -m tests.neuron_sim.budget_table` prints the figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

import pytest
import torch

from neuron_whisper.model.published_dims import PUBLISHED_DIMS
from neuron_whisper.profile import parse_profile
from neuron_whisper.target.interfaces import spec_from_profile
from tests import neuron_sim

if TYPE_CHECKING:
    from tests.neuron_sim.costs import HloBudget

pytestmark = pytest.mark.skipif(
    not neuron_sim.is_installed(), reason="no simulator: what the Neuron graphs cost is not proved"
)

KOTOBA, TURBO, LARGE = "kotoba-v2.2", "large-v3-turbo", "large-v3"
PROFILE = 'format = 1\n[target]\nname = "neuron"\n[shapes]\nslots = 8\nprompt_buckets = [4]\n'


@cache
def program_costs(model: str, tp: int = 2) -> Mapping[str, HloBudget]:
    from tests.neuron_sim.graph_budgets import program_budgets

    return program_budgets(spec_from_profile(PUBLISHED_DIMS[model], parse_profile(PROFILE)), tp, torch.float16)


@cache
def nxdi_costs(model: str) -> Mapping[str, HloBudget]:
    from tests.neuron_sim.graph_budgets import nxdi_budgets

    return nxdi_budgets(PUBLISHED_DIMS[model], 2, torch.float16)


# The limits are the design's at tp 2, in 16 bit, for eight slots; NxDI's figures are of one.


@pytest.mark.parametrize(
    ("model", "gflop", "nxdi_gflop"),
    [(KOTOBA, 12, 94), (TURBO, 12, 129), (LARGE, 12, 617)],
)
def test_a_prompt_of_four_tokens_computes_four_positions(model: str, gflop: float, nxdi_gflop: float) -> None:
    assert program_costs(model)["prefill 0"].flops <= gflop * 1e9
    assert nxdi_costs(model)["prefill"].flops >= nxdi_gflop * 1e9


@pytest.mark.parametrize(
    ("model", "mb", "nxdi_mb"),
    [(KOTOBA, 120, 310), (TURBO, 160, 350), (LARGE, 810, 970)],
)
def test_a_step_of_eight_slots_reads_fewer_weights_than_nxdis_of_one(model: str, mb: float, nxdi_mb: float) -> None:
    assert program_costs(model)["decode 0"].weight_bytes <= mb * 1e6
    assert nxdi_costs(model)["decode"].weight_bytes >= nxdi_mb * 1e6


@pytest.mark.parametrize("model", [KOTOBA, TURBO, LARGE])
def test_a_few_numbers_cross_to_the_host_where_nxdi_sends_a_vocabulary(model: str) -> None:
    step, prompt = program_costs(model)["decode 0"], program_costs(model)["prefill 0"]
    assert prompt.to_host_bytes <= 1024
    assert step.to_host_bytes <= 8 * 1024
    assert step.from_host_bytes <= 1024
    assert nxdi_costs(model)["prefill"].to_host_bytes >= 92.9e6
    assert nxdi_costs(model)["decode"].to_host_bytes >= 207_000


@pytest.mark.parametrize("model", [KOTOBA, TURBO, LARGE])
def test_the_encoders_output_stays_on_the_device(model: str) -> None:
    assert program_costs(model)["encode 0"].to_host_bytes == 8, "whether all is finite, and the largest magnitude"
    assert program_costs(model)["prefill 0"].from_host_bytes < 16_384, "a prompt, rules and bans"
    assert nxdi_costs(model)["encode"].to_host_bytes == 1500 * 1280 * 2
    assert nxdi_costs(model)["prefill"].from_host_bytes > 1500 * 1280 * 2


@pytest.mark.parametrize("model", [KOTOBA, TURBO, LARGE])
def test_all_sums_between_cores_are_in_sixteen_bit(model: str) -> None:
    types = {
        one.dtype for cost in program_costs(model).values() for one in cost.collectives if one.opcode == "all-reduce"
    }
    assert types == {"F16"}
    assert program_costs(model)["encode 0"].count("all-reduce") == 2 * 32
    [nxdis] = nxdi_costs(model)["encode"].collectives
    assert (nxdis.opcode, nxdis.dtype, nxdis.count) == ("all-reduce", "F32", 2 * 32)


@pytest.mark.parametrize("tp", [4, 8])
def test_more_cores_share_the_work_and_the_weights(tp: int) -> None:
    two, more = program_costs(KOTOBA), program_costs(KOTOBA, tp)
    for graph in ("prefill 0", "decode 0", "encode 0"):
        # heads of 20 are padded to 24 at tp 8; norms, convolutions and their weights are whole on every core
        assert more[graph].flops <= two[graph].flops * 2 / tp * 1.2
        assert more[graph].weight_bytes <= two[graph].weight_bytes * 2 / tp * 1.25


@pytest.mark.parametrize("model", [KOTOBA, TURBO, LARGE])
def test_nothing_is_read_that_is_not_needed(model: str) -> None:
    for graph, cost in program_costs(model).items():
        assert not cost.excluded_inputs, graph
    layers, heads = PUBLISHED_DIMS[model].n_text_layer, 10
    slot_kv = 2 * layers * heads * 64 * (1500 + 512) * 2  # with the spare positions
    assert program_costs(model)["prefill 0"].state_read_bytes == slot_kv, "of its own slot"
    assert program_costs(model)["decode 0"].state_write_bytes == 2 * layers * heads * 64 * 8 * 2, "a row of each slot"
