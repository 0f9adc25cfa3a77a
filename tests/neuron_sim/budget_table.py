"""Prints what the program's graphs cost a core, and NxDI's own Whisper, as a table in Markdown.

A step of ours is one of eight slots, NxDI's of the one window it takes; prompts are of 4 tokens, NxDI's always of 448.

    sh tests/neuron_sim/run.sh -m tests.neuron_sim.budget_table [MODEL ...]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import torch

from neuron_whisper.model.published_dims import PUBLISHED_DIMS
from neuron_whisper.profile import parse_profile
from neuron_whisper.target.interfaces import spec_from_profile
from tests.neuron_sim.costs import HloBudget
from tests.neuron_sim.graph_budgets import nxdi_budgets, program_budgets

MODELS = ("kotoba-v2.2", "large-v3-turbo", "large-v3")
PROFILE = 'format = 1\n[target]\nname = "neuron"\n[shapes]\nslots = 8\nprompt_buckets = [4]\n'
HEADER = (
    "model, graph",
    "tp",
    "GFLOP",
    "weights read, MB",
    "K/V read, written, MB",
    "all-reduces",
    "from the host",
    "to it",
    "instructions",
    "sorts",
    "64-bit",
    "float32 products",
    "indices at most",
    "vocabulary in few rows",
)


def format_row(name: str, tp: int, cost: HloBudget) -> str:
    reduces = [
        f"{one.count} {one.dtype}, {one.bytes / 1e6:.3g} MB" for one in cost.collectives if one.opcode == "all-reduce"
    ]
    cells = [
        name,
        str(tp),
        f"{cost.flops / 1e9:.4g}",
        f"{cost.weight_bytes / 1e6:.1f}",
        f"{cost.state_read_bytes / 1e6:.1f}, {cost.state_write_bytes / 1e6:.3g}",
        "; ".join(reduces) or "none",
        f"{cost.from_host_bytes:,} B",
        f"{cost.to_host_bytes:,} B",
        str(cost.operations.instructions),
        str(cost.operations.opcodes["sort"]),
        str(len(cost.operations.wide)),
        str(cost.operations.float32_products),
        str(cost.operations.most_indices),
        str(cost.operations.narrow_vocab_passes),
    ]
    return f"| {' | '.join(cells)} |"


def iterate_rows(model: str, tps: tuple[int, ...]) -> Iterator[str]:
    spec = spec_from_profile(PUBLISHED_DIMS[model], parse_profile(PROFILE))
    for tp in tps:
        ours, nxdi = program_budgets(spec, tp, torch.float16), nxdi_budgets(spec.dims, tp, torch.float16)
        for graph in ("encode", "prefill", "decode"):
            yield format_row(f"{model}, {graph}", tp, ours[f"{graph} 0"])
            yield format_row(f"NxDI {model}, {graph}", tp, nxdi[graph])
        yield format_row(f"{model}, logits (sampling)", tp, ours["logits 0"])


def main(*models: str) -> None:
    print(f"| {' | '.join(HEADER)} |\n|{' --- |' * len(HEADER)}")  # noqa: T201 # this is a command
    for model in models or MODELS:
        for line in iterate_rows(model, (1, 2, 4, 8) if model == MODELS[0] else (2,)):
            print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
