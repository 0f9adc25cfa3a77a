"""What an artifact keeps for nrtpy, and sessions on it: nrtpy is a stand-in, the graphs are NxD's, lowered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from neuron_whisper.target.interfaces import Session
from neuron_whisper.target.neuron.graph_signature import NUMPY_DTYPES, metaneff_file, neff_file, read_signature
from neuron_whisper.target.neuron.runtime.nrtpy_graphs import NrtpyGraphs
from neuron_whisper.target.neuron.runtime.session import NeuronSession
from neuron_whisper.target.neuron.runtimes import RUNTIME_VARIABLE
from neuron_whisper.target.neuron.target import TARGET
from tests import neuron_sim
from tests.integration import test_session_contract as contract
from tests.neuron_sim.test_neuron_target import decode_greedily, logprobs_after_swap, open_reference
from tests.support.neuron_programs import make_profile
from tests.support.sessions import checkpoint, compile_request
from tests.support.tiny_program import spec

if TYPE_CHECKING:
    from neuron_whisper.profile import CompileProfile

pytestmark = pytest.mark.skipif(
    not neuron_sim.is_installed(), reason="no simulator: sessions of nrtpy on NxD's graphs are not proved"
)
if neuron_sim.is_installed():  # the runtime takes its cores once a process
    os.environ.setdefault("NEURON_RT_NUM_CORES", "4")

# The suite that every Session passes, here over nrtpy's.
for _name, _test in vars(contract).items():
    if _name.startswith("test_") and not _name.startswith("test_a_closed_session"):
        globals()[_name] = _test


def open_with(runtime: str, directory: Path, profile: CompileProfile) -> NeuronSession:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(RUNTIME_VARIABLE, runtime)
        return TARGET.open(directory, spec(), profile)


@pytest.fixture(scope="module", params=["nrtpy tp1", "nrtpy tp2"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def artifact(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("artifact")
    TARGET.compile(compile_request(spec(), make_profile(int(kind[-1])), checkpoint(spec()), directory))
    return directory


@pytest.fixture(scope="module")
def session(kind: str, artifact: Path) -> Iterator[Session]:
    session = open_with("nrtpy", artifact, make_profile(int(kind[-1])))
    yield session
    session.close()


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
        assert {it.dtype for it in (*graph.inputs, *graph.outputs)} <= set(NUMPY_DTYPES)
        assert neff_file(artifact, graph.name).stat().st_size > 1000


def test_nrtpy_returns_what_the_reference_returns(session: Session) -> None:
    oracle = open_reference(spec())
    tokens, logprobs = decode_greedily(session, 12)
    wanted, wanted_logprobs = decode_greedily(oracle, 12)
    assert tokens == wanted
    assert len(set(tokens)) > 6, "a model that repeats proves little"
    np.testing.assert_allclose(logprobs, wanted_logprobs, atol=2e-4)
    words = np.array(tokens[:6], np.int32)
    np.testing.assert_allclose(session.align(1, words), oracle.align(1, words), atol=1e-4)
    np.testing.assert_allclose(logprobs_after_swap(session), logprobs_after_swap(oracle), atol=2e-4)


def test_a_rank_holds_its_weights_and_states_once_for_all_graphs(artifact: Path, kind: str) -> None:
    from tests.support.nrtpy_stand_in import NrtpyTensor

    ranks, before = int(kind[-1]), NrtpyTensor.allocated
    graphs = NrtpyGraphs.load(artifact, ranks, "")
    signature = read_signature(artifact)
    shared: dict[str, int] = {}
    own = 0
    for graph in signature.graphs:
        shared |= {it.key: it.size_bytes for it in graph.inputs if it.use in ("weight", "state")}
        own += sum(it.size_bytes for it in (*graph.arguments, *graph.results))
        own += sum(it.size_bytes for it in graph.inputs if it.use == "constant")
    assert NrtpyTensor.allocated - before == ranks * (sum(shared.values()) + own)
    assert own < sum(shared.values()) / 2
    graphs.close()
    assert NrtpyTensor.allocated == before


OPEN_WITHOUT_TORCH = """
import json, sys
sys.modules["torch"] = None  # an import of it raises
from pathlib import Path
from neuron_whisper.target.neuron.target import TARGET
from tests.neuron_sim.torchless_steps import run_steps
from tests.support.neuron_programs import make_profile
from tests.support.tiny_program import spec
session = TARGET.open(Path(sys.argv[1]), spec(), make_profile(int(sys.argv[2])))
print(json.dumps(run_steps(session)))
"""


def test_a_process_that_cannot_import_torch_opens_and_runs_an_artifact(artifact: Path, session: Any, kind: str) -> None:
    from tests.neuron_sim.torchless_steps import run_steps

    done = subprocess.run(
        [sys.executable, "-c", OPEN_WITHOUT_TORCH, str(artifact), kind[-1]],
        env=os.environ | {RUNTIME_VARIABLE: "nrtpy"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == run_steps(session)
    assert len(json.loads(done.stdout)) == 4


def test_sixteen_bit_returns_to_the_bit_what_pytorch_neuronx_returns(tmp_path: Path) -> None:
    profile = make_profile(2, "bfloat16")
    TARGET.compile(compile_request(spec(), profile, checkpoint(spec()), tmp_path))
    found, wanted = (decode_greedily(open_with(it, tmp_path, profile), 8) for it in ("nrtpy", "torch-neuronx"))
    assert found == wanted
