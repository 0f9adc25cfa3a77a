"""Weights that lie as the step graph wants them (`compiler.priority_graph`): NxD's own flow, around our graphs.

Which layouts neuronx-cc wants, and whether a step is faster with them, only a device can tell.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from neuron_whisper.errors import CompilerKilled
from neuron_whisper.profile import CompileProfile
from neuron_whisper.target.neuron.lowering.layout import weights_file
from neuron_whisper.target.neuron.target import TARGET
from tests import neuron_sim
from tests.neuron_sim.compiler_cache import count_calls
from tests.neuron_sim.test_neuron_target import decode_greedily, logprobs_after_swap, open_reference
from tests.support.neuron_programs import make_profile
from tests.support.sessions import checkpoint, compile_request
from tests.support.tiny_program import spec

pytestmark = pytest.mark.skipif(not neuron_sim.is_installed(), reason="no simulator: weight layouts are not proved")


def make_layout_profile(tp: int, *, args: tuple[str, ...] = ()) -> CompileProfile:
    profile = make_profile(tp)
    graphs = msgspec.structs.replace(profile.compiler.graphs, decode=args)
    table = msgspec.structs.replace(profile.compiler, priority_graph="decode", graphs=graphs)
    return msgspec.structs.replace(profile, compiler=table)


def compile_program(directory: Path, profile: CompileProfile, cache: Path | None = None) -> list[str]:
    """The steps of the progress."""
    steps: list[str] = []
    request = compile_request(spec(), profile, checkpoint(spec()), directory)
    TARGET.compile(
        replace(request, progress=lambda what, done, total: steps.append(f"{what} {done}"), compile_cache=cache)
    )
    return steps


@pytest.mark.parametrize("tp", [1, 2])
def test_the_steps_matrices_lie_otherwise_and_tokens_are_those_of_the_reference(tp: int, tmp_path: Path) -> None:
    from tests.neuron_sim import runtime

    os.environ.setdefault("NEURON_RT_NUM_CORES", "4")
    steps = compile_program(tmp_path, make_layout_profile(tp))
    assert steps.index("compiling decode 3 0") < min(i for i, step in enumerate(steps) if "prefill" in step)
    assert "compiling weight layout 7" in steps
    session, oracle = TARGET.open(tmp_path, spec(), make_layout_profile(tp)), open_reference(spec())
    tokens, logprobs = decode_greedily(session, 12)
    wanted, wanted_logprobs = decode_greedily(oracle, 12)
    assert tokens == wanted
    np.testing.assert_allclose(logprobs, wanted_logprobs, atol=2e-4)
    np.testing.assert_allclose(logprobs_after_swap(session), logprobs_after_swap(oracle), atol=2e-4)

    stored, loaded = load_file(weights_file(tmp_path, tp - 1)), runtime.graphs[-1].weights[tp - 1]
    moved = {name for name, tensor in stored.items() if not torch.equal(tensor, loaded[name])}
    assert {name for name in moved if stored[name].ndim != 2} == set()
    assert "layers.decoder.blocks.0.attn.query.weight" in moved, "the file's weights are for any layout"
    assert {name for name in moved if name.startswith("layers.encoder")} == set(), "not of the step graph"


def test_a_second_compilation_finds_every_graph(tmp_path: Path) -> None:
    cache = tmp_path / "compile-cache"
    counts = []
    for name in ("first", "second"):
        compile_program(tmp_path / name, make_layout_profile(1), cache)
        counts.append(count_calls(cache / "neuron"))
    assert counts == [{"miss": 7}, {"hit": 7}], "the graph that changes weights is NxD's, past the cache"


def test_a_failure_of_the_priority_graph_names_it(tmp_path: Path) -> None:
    with pytest.raises(CompilerKilled, match="decode 3"):
        compile_program(tmp_path, make_layout_profile(1, args=("--simulate-fault=killed",)))
