"""Golden tokens on the Neuron target: its graphs in plain torch everywhere, and on NxD where it or the simulator is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from neuron_whisper.artifact.golden import GoldenTokens, make_golden
from neuron_whisper.artifact.golden_check import check_golden_tokens
from neuron_whisper.errors import GoldenTokenMismatch
from neuron_whisper.target.neuron.compile_process import graph_labels
from neuron_whisper.target.neuron.lowering.graphs import example_inputs
from neuron_whisper.target.neuron.runtime.session import NeuronSession
from neuron_whisper.target.neuron.target import TARGET
from neuron_whisper.target.registry import missing_packages
from tests.support.neuron_programs import make_profile
from tests.support.plain_bundle import PlainBundle
from tests.support.sessions import checkpoint, compile_request
from tests.support.tiny_program import spec

PROGRAM = spec(beams=1)
LABELS = graph_labels(PROGRAM)


@pytest.fixture(scope="module")
def golden() -> GoldenTokens:
    return make_golden(checkpoint(PROGRAM), PROGRAM, make_profile(1))


def test_every_graph_that_is_compiled_is_checked_by_its_name(golden: GoldenTokens) -> None:
    checked = check_golden_tokens(NeuronSession(PROGRAM, PlainBundle(PROGRAM)), golden, slots=(0, 2))
    assert set(checked) == set(LABELS.values())


@pytest.mark.parametrize("folder", LABELS)
def test_a_graph_with_other_weights_is_named(folder: str, golden: GoldenTokens) -> None:
    bundle, other = PlainBundle(PROGRAM), PlainBundle(PROGRAM, seed=1)
    tag, _, bucket = folder.partition("/_tp0_bk")
    inputs = example_inputs(PROGRAM, torch.float32)[tag][1][int(bucket)]
    route = str([list(tensor.shape) for tensor in inputs])
    other.routes[route].states = bundle.routes[route].states
    bundle.routes[route] = other.routes[route]

    with pytest.raises(GoldenTokenMismatch) as found:
        check_golden_tokens(NeuronSession(PROGRAM, bundle), golden)
    assert found.value.graphs == (LABELS[folder],)


@pytest.mark.skipif(
    bool(missing_packages("neuron")), reason="no simulator/Neuron packages: golden tokens on NxD are not proved here"
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_nxd_agrees_with_the_reference_in_every_graph(dtype: str, tmp_path: Path) -> None:
    os.environ.setdefault("NEURON_RT_NUM_CORES", "4")
    program, profile = spec(), make_profile(2, dtype)
    TARGET.compile(compile_request(program, profile, checkpoint(program), tmp_path))
    session = TARGET.open(tmp_path, program, profile)
    golden = make_golden(checkpoint(program), program, profile)
    assert len(check_golden_tokens(session, golden, slots=(0, 2))) == len(graph_labels(program)) + 2  # wide steps
