"""What the graphs are made of, for every program that a profile names: nothing that a NeuronCore is slow or fails at.

Of the HLO alone: no weight is made. `sh tests/neuron_sim/run.sh -m tests.neuron_sim.budget_table` prints the figures.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import pytest

from neuron_whisper.graph.dtypes import TORCH_DTYPES
from neuron_whisper.model.published_dims import PUBLISHED_DIMS
from neuron_whisper.profile import CompileProfile, list_profiles, load_profile, parse_profile
from neuron_whisper.target.interfaces import ProgramSpec, spec_from_profile
from neuron_whisper.target.neuron.lowering.layout import padded_context
from tests import neuron_sim

if TYPE_CHECKING:
    from tests.neuron_sim.operations import Operations

pytestmark = pytest.mark.skipif(
    not neuron_sim.is_installed(), reason="no simulator: what the Neuron graphs are made of is not proved"
)

# profiles are named after their model, which is not published under that name alone
MODELS = {"base": "base", "kotoba-v2": "kotoba-v2.2", "large-v3": "large-v3", "large-v3-turbo": "large-v3-turbo"}
BEAMS = """format = 1
[target]
name = "neuron"
tp = 2
dtype = "float16"
[weights]
dtype = "float16"
[shapes]
slots = 4
beams = 5
prompt_buckets = [4, 256]
"""


def find_programs() -> Mapping[str, tuple[ProgramSpec, int, str]]:
    """Every distinct program of the profiles, by the first profile that has it, and one of five beams in float16."""
    found: dict[tuple[ProgramSpec, int, str], str] = {}

    def make_program(model: str, profile: CompileProfile) -> ProgramSpec:
        program = spec_from_profile(PUBLISHED_DIMS[model], profile)
        last = program.dims.n_text_layer - 1  # a checkpoint names its alignment heads, dimensions do not
        return replace(program, alignment_heads=((last // 2, 0), (last, 0), (last, 3)))

    for name in list_profiles():
        if match := re.fullmatch(r"neuron-(.+?)-(inf2|trn1|trn2)\..*", name):
            profile = load_profile(name)
            program = make_program(MODELS[match[1]], profile)
            found.setdefault((program, profile.target.tp, profile.target.dtype), name)
    beams = parse_profile(BEAMS)
    found[make_program("base", beams), beams.target.tp, beams.target.dtype] = "five beams"
    return {name: program for program, name in found.items()}


PROGRAMS = find_programs()


@cache
def operations_of(name: str) -> Mapping[str, Operations]:
    """Graph -> its operations, of the program that a profile names."""
    from tests.neuron_sim.graph_budgets import program_budgets

    program, tp, dtype = PROGRAMS[name]
    return {graph: cost.operations for graph, cost in program_budgets(program, tp, TORCH_DTYPES[dtype]).items()}


@pytest.fixture(params=PROGRAMS, scope="module")
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_nothing_is_sorted_and_no_number_has_sixty_four_bits(name: str) -> None:
    for graph, operations in operations_of(name).items():
        assert operations.opcodes["sort"] == operations.opcodes["custom-call"] == 0, graph
        assert operations.wide == (), graph


def test_masks_are_finite(name: str) -> None:
    for graph, operations in operations_of(name).items():
        assert operations.infinities == 0, graph


def test_products_are_of_sixteen_bit_numbers(name: str) -> None:
    for graph, operations in operations_of(name).items():
        assert operations.float32_products == 0, graph


def test_rows_of_keys_and_values_take_one_index_each(name: str) -> None:
    program, tp, _ = PROGRAMS[name]
    heads = -(-program.dims.n_text_head // tp)
    for graph in ("decode 0", "logits 0"):
        lookups = operations_of(name)[graph].lookups
        writes = [one for one in lookups if one.opcode == "scatter"]
        assert {(one.indices, one.elements) for one in writes} == {(program.rows * heads, program.dims.head_dim)}, graph
        assert len(writes) == 2 * program.dims.n_text_layer, graph
        limit = max(program.rows * heads, program.rows * program.choices)
        assert all(one.indices <= limit for one in lookups), graph


def test_a_prompt_takes_at_most_an_index_for_each_of_its_tokens(name: str) -> None:
    program, _, _ = PROGRAMS[name]
    for tag, buckets in (("prefill", program.prompt_buckets), ("align", program.align_buckets)):
        for place, bucket in enumerate(buckets):
            for lookup in operations_of(name)[f"{tag} {place}"].lookups:
                assert lookup.indices <= max(bucket, 2), (tag, bucket, lookup)


def test_no_step_computes_every_number_of_a_cache(name: str) -> None:
    program, tp, _ = PROGRAMS[name]
    heads, dims = -(-program.dims.n_text_head // tp), program.dims
    past = program.rows * heads * padded_context(program.text_context) * dims.head_dim
    window = program.slots * heads * dims.n_audio_ctx * dims.head_dim
    for graph in ("decode 0", "logits 0"):
        assert operations_of(name)[graph].elementwise[0] < min(past, window), graph


def test_work_on_the_vocabulary_is_spread_over_the_lanes(name: str) -> None:
    for graph, operations in operations_of(name).items():
        assert operations.narrow_vocab_passes == 0, graph


def test_a_prompt_of_one_row_fills_the_lanes_and_forty_rows_do_nearly() -> None:
    from neuron_whisper.target.neuron.lowering.operations import PARTITIONS, PartitionedOperations

    lanes = {rows: rows * PartitionedOperations().vocab_blocks(rows) for rows in (1, 8, 16, 40, 128)}
    assert lanes == {1: 128, 8: 128, 16: 128, 40: 120, 128: 128}
    assert all(lane <= PARTITIONS for lane in lanes.values())


def test_there_is_a_program_for_every_model_and_number_of_cores() -> None:
    assert {(program.dims, tp) for program, tp, _ in PROGRAMS.values()} >= {
        (PUBLISHED_DIMS[model], tp) for model in MODELS.values() for tp in (1, 2, 4)
    }
