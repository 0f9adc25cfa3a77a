"""What an artifact keeps for nrtpy, and sessions on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuron_whisper.target.neuron.graph_signature import ITEM_BYTES, metaneff_file, neff_file, read_signature
from neuron_whisper.target.neuron.target import TARGET
from tests import neuron_sim
from tests.support.neuron_programs import make_profile
from tests.support.sessions import checkpoint, compile_request
from tests.support.tiny_program import spec

pytestmark = pytest.mark.skipif(
    not neuron_sim.is_installed(), reason="no simulator: the NEFFs and signatures of NxD's graphs are not proved"
)


@pytest.fixture(scope="module", params=[1, 2], ids=["tp 1", "tp 2"])
def artifact(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("artifact")
    profile = make_profile(request.param, "bfloat16")
    TARGET.compile(compile_request(spec(), profile, checkpoint(spec()), directory))
    return directory


def test_a_signature_says_what_the_metaneff_says(artifact: Path) -> None:
    from tests.neuron_sim.protos import MetaNeff, MetaTensor, get_torch_dtype

    uses = {
        "argument": MetaTensor.USER_INPUT,
        "weight": MetaTensor.INPUT_WEIGHT,
        "state": MetaTensor.INPUT_STATE,
        "constant": MetaTensor.CONSTANT,
    }
    graphs = read_signature(artifact).graphs
    assert len(graphs) == len(list((artifact / "neffs").glob("*.neff")))
    for graph in graphs:
        metaneff = MetaNeff.FromString(metaneff_file(artifact, graph.name).read_bytes())
        assert [(it.name, it.shape, it.dtype, uses[it.use], it.key, it.value) for it in graph.inputs] == [
            (
                it.name.decode(),
                tuple(it.shape),
                str(get_torch_dtype(it.data_type)).removeprefix("torch."),
                it.type,
                it.checkpoint_key.decode(),
                it.constant_data,
            )
            for it in metaneff.input_tensors
        ]
        assert [(it.name, it.shape) for it in graph.outputs] == [
            (it.name.decode(), tuple(it.shape)) for it in metaneff.output_tensors
        ]
        aliases = metaneff.output_aliases_to
        assert [it.state for it in graph.outputs] == [
            metaneff.input_tensors[aliases[i]].checkpoint_key.decode() if i in aliases else ""
            for i in range(len(graph.outputs))
        ]
        assert {it.dtype for it in (*graph.inputs, *graph.outputs)} <= set(ITEM_BYTES)
        assert neff_file(artifact, graph.name).stat().st_size > 1000
