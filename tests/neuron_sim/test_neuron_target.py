"""The Neuron target: its graphs in plain torch everywhere, and on NxD where its packages or the simulator are.

`make neuron-sim` runs all of it without a device.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuron_whisper.errors import ArtifactIncompatible, DeviceError, InvalidOption, LoweringFailed
from neuron_whisper.graph.layers import PlainLayers
from neuron_whisper.model.dims import WhisperDims
from neuron_whisper.profile import CompileProfile, parse_profile
from neuron_whisper.target.interfaces import ProgramSpec, Session, StepInputs
from neuron_whisper.target.neuron.compile_process import compile_in_child
from neuron_whisper.target.neuron.instance import check_family
from neuron_whisper.target.neuron.lowering.graphs import DecodeGraph, DeviceState, NeuronGraph, example_inputs
from neuron_whisper.target.neuron.lowering.lowering import compiler_args, write_weights
from neuron_whisper.target.neuron.runtime.core_allocation import reserve_cores
from neuron_whisper.target.neuron.runtime.session import NeuronSession, pack_suppressed
from neuron_whisper.target.neuron.target import TARGET
from neuron_whisper.target.reference.session import ReferenceSession
from neuron_whisper.target.registry import missing_packages
from neuron_whisper.text.special_tokens import N_TIMESTAMPS, SpecialTokens
from tests import neuron_sim
from tests.integration import test_session_contract as contract
from tests.support.session_steps import PROMPT
from tests.support.sessions import MemoryCheckpoint, checkpoint, compile_request
from tests.support.tiny_program import (
    DIMS,
    SPECIAL,
    all_allowed,
    mel,
    nothing_suppressed,
    parameters,
    prefill_inputs,
    spec,
)

if TYPE_CHECKING:
    from neuron_whisper.model.checkpoint import Checkpoint

NOT_PROVED = "no simulator/Neuron packages: the Neuron target is not proved here"
needs_neuron = pytest.mark.skipif(bool(missing_packages("neuron")), reason=NOT_PROVED)

# The suite that every Session passes, here over the kinds below.
for _name, _test in vars(contract).items():
    if _name.startswith("test_") and not _name.startswith("test_a_closed_session"):
        globals()[_name] = _test


class PlainBundle:
    """NxD's bundle in plain torch, one rank: routed by shapes, states shared, results written back by their alias."""

    def __init__(self, spec: ProgramSpec) -> None:
        layers = _OneRank(spec.dims, {k: torch.from_numpy(v) for k, v in parameters(spec.dims).items()})
        self.routes: dict[str, NeuronGraph] = {}
        states: DeviceState | None = None
        for graph, buckets in example_inputs(spec, torch.float32).values():
            made = graph(spec, layers, torch.float32)
            states = made.states = states or made.states
            for inputs in buckets:
                self.routes[str([list(x.shape) for x in inputs])] = made

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        graph = self.routes[str([list(x.shape) for x in inputs])]
        results = graph(*inputs)
        for state, index in graph.aliases().items():
            state.data.copy_(results[index])
        return results[0], results[1]


class _OneRank(PlainLayers):
    def gather(self, part: Tensor, axis: int) -> Tensor:
        return part


def make_profile(tp: int, dtype: str = "float32", args: tuple[str, ...] = ()) -> CompileProfile:
    listed = ", ".join(f'"{arg}"' for arg in args)
    return parse_profile(
        f'format = 1\n[target]\nname = "neuron"\ntp = {tp}\ndtype = "{dtype}"\n[weights]\ndtype = "{dtype}"\n'
        f"[compiler]\nargs = [{listed}]"
    )


def ignore_progress(what: str, done: int, total: int | None) -> None:
    pass


def open_neuron(spec: ProgramSpec, directory: Path, tp: int, dtype: str = "float32") -> NeuronSession:
    # the runtime takes its cores once a process, and the sessions below want from one to four
    os.environ.setdefault("NEURON_RT_NUM_CORES", "4")
    TARGET.compile(compile_request(spec, make_profile(tp, dtype), checkpoint(spec), directory))
    return TARGET.open(directory, spec, make_profile(tp, dtype))


@pytest.fixture(
    scope="module",
    params=["plain", pytest.param("neuron tp1", marks=needs_neuron), pytest.param("neuron tp2", marks=needs_neuron)],
)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def session(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    session = (
        NeuronSession(spec(), PlainBundle(spec()), torch.float32)
        if kind == "plain"
        else open_neuron(spec(), tmp_path_factory.mktemp("neuron"), tp=int(kind[-1]))
    )
    yield session
    session.close()


def test_any_suppression_mask_is_read_to_the_bit(session: Session) -> None:
    """torch_xla shifts wrongly: commas were suppressed because of other bits of their word."""
    oracle = open_reference(spec())
    for one in (session, oracle):
        one.encode([1], mel(1, seed=2))
    rows, active = session.spec.rows, np.array([False, True, False])
    for seed in range(6):
        banned = np.random.default_rng(seed).random(DIMS.n_vocab) < 0.5
        outputs = []
        for one in (session, oracle):
            first = one.prefill(1, prefill_inputs(PROMPT, suppressed=banned)).top_tokens
            position = np.full(rows, 3, np.int32)
            step = StepInputs(
                tokens=position,
                positions=position,
                parents=np.zeros(rows, np.int32),
                rules=all_allowed(rows),
                active=active,
            )
            then = one.decode(step)
            outputs.append((first.tokens[0].tolist(), then.tokens[2].tolist()))
        assert outputs[0] == outputs[1]


# --- against the reference --------------------------------------------------------------------


def decode_greedily(session: Session, steps: int) -> tuple[list[int], list[float]]:
    """Tokens and log-probabilities after the prompt in slot 1, beam 0."""
    session.encode([1], mel(1, dims=session.spec.dims, seed=7))
    prompt = np.array([SPECIAL.sot, SPECIAL.first_language + 1, SPECIAL.transcribe], np.int32)
    output = session.prefill(1, prefill_inputs(prompt, dims=session.spec.dims)).top_tokens
    row, rows = session.spec.beams, session.spec.rows
    tokens, logprobs = [int(output.tokens[0, 0])], [float(output.logprobs[0, 0])]
    parents = np.tile(np.arange(session.spec.beams, dtype=np.int32), session.spec.slots)
    active = np.arange(session.spec.slots) == 1
    for position in range(3, 3 + steps):
        fed, at = np.zeros(rows, np.int32), np.zeros(rows, np.int32)
        fed[row : 2 * row], at[row : 2 * row] = tokens[-1], position
        output = session.decode(
            StepInputs(tokens=fed, positions=at, parents=parents, rules=all_allowed(rows), active=active)
        )
        tokens.append(int(output.tokens[row, 0]))
        logprobs.append(float(output.logprobs[row, 0]))
    return tokens, logprobs


def logprobs_after_swap(session: Session) -> NDArray[np.float32]:
    """Log-probabilities (beams, n_vocab) in slot 1 after a step in which its beams took each other's place."""
    spec = session.spec
    banned = nothing_suppressed(spec.dims)
    banned[5:9] = True
    session.prefill(1, prefill_inputs(PROMPT, suppressed=banned, beams=spec.beams))
    token, parent = np.arange(11, 11 + spec.rows, dtype=np.int32), np.arange(spec.rows, dtype=np.int32) % spec.beams
    active = np.arange(spec.slots) == 1
    step = StepInputs(
        tokens=token,
        positions=np.full(spec.rows, 3, np.int32),
        parents=parent,
        rules=all_allowed(spec.rows),
        active=active,
    )
    session.decode(step)
    output = session.logits(
        replace(step, positions=np.full(spec.rows, 4, np.int32), parents=(spec.beams - 1 - parent).astype(np.int32))
    )
    assert output.shape == (spec.rows, spec.dims.n_vocab)
    return output[spec.beams : 2 * spec.beams]


def open_reference(spec: ProgramSpec, gain: float = 3.0) -> ReferenceSession:
    return ReferenceSession(spec, [{k: torch.from_numpy(v) for k, v in parameters(spec.dims, gain=gain).items()}])


def make_spec(heads: int, text_tokens: int) -> ProgramSpec:
    """A program of so many heads; its vocabulary is that many tokens of text and the special ones."""
    special = SpecialTokens.from_layout(eot=text_tokens, n_languages=5, blank=7, is_multilingual=True)
    sizes = {name: getattr(DIMS, name) for name in WhisperDims.__dataclass_fields__}
    sizes |= {"n_audio_state": 32 * heads, "n_text_state": 32 * heads, "n_audio_head": heads, "n_text_head": heads}
    sizes |= {"n_vocab": special.timestamp_begin + N_TIMESTAMPS}
    return spec(dims=WhisperDims(**sizes), special=special)


def test_the_graphs_return_what_the_reference_returns() -> None:
    program = spec()
    session, oracle = NeuronSession(program, PlainBundle(program), torch.float32), open_reference(program)
    tokens, logprobs = decode_greedily(session, 8)
    wanted, wanted_logprobs = decode_greedily(oracle, 8)
    assert tokens == wanted
    np.testing.assert_allclose(logprobs, wanted_logprobs, atol=1e-5)
    np.testing.assert_allclose(logprobs_after_swap(session), logprobs_after_swap(oracle), atol=1e-5)


@needs_neuron
@pytest.mark.parametrize(
    ("heads", "text_tokens", "tp"),
    [(2, 90, 1), (2, 90, 2), (3, 91, 2), (4, 90, 4), (5, 91, 4)],
    ids=["tp 1", "tp 2", "padded heads and vocabulary", "tp 4", "padded at tp 4"],
)
def test_nxd_returns_what_the_reference_returns(heads: int, text_tokens: int, tp: int, tmp_path: Path) -> None:
    program = make_spec(heads, text_tokens)
    session, oracle = open_neuron(program, tmp_path, tp), open_reference(program)
    tokens, logprobs = decode_greedily(session, 12)
    wanted, wanted_logprobs = decode_greedily(oracle, 12)
    assert tokens == wanted
    assert len(set(tokens)) > 6, "a model that repeats proves little"
    # weights this steep blow up rounding, and XLA's own exponentials and variances: up to 7e-5 at every tp
    np.testing.assert_allclose(logprobs, wanted_logprobs, atol=2e-4)
    words = np.array(tokens[:6], np.int32)
    np.testing.assert_allclose(session.align(1, words), oracle.align(1, words), atol=1e-4)
    np.testing.assert_allclose(logprobs_after_swap(session), logprobs_after_swap(oracle), atol=2e-4)

    # the same graphs with gentler weights
    gentle = cast("Checkpoint", MemoryCheckpoint(parameters(program.dims, gain=1.0)))
    write_weights(compile_request(program, make_profile(tp), gentle, tmp_path))
    tokens, logprobs = decode_greedily(TARGET.open(tmp_path, program, make_profile(tp)), 12)
    wanted, wanted_logprobs = decode_greedily(open_reference(program, gain=1.0), 12)
    assert tokens == wanted
    np.testing.assert_allclose(logprobs, wanted_logprobs, atol=1e-5)


@needs_neuron
@pytest.mark.parametrize(("dtype", "limit"), [("float16", 0.03), ("bfloat16", 0.25)])
def test_sixteen_bit_is_within_its_rounding(dtype: str, limit: float, tmp_path: Path) -> None:
    program = spec()
    _, logprobs = decode_greedily(open_neuron(program, tmp_path, 2, dtype), 0)
    _, wanted = decode_greedily(open_reference(program), 0)
    np.testing.assert_allclose(logprobs, wanted, atol=limit)


@needs_neuron
@pytest.mark.skipif(not neuron_sim.is_installed(), reason="no simulator: nothing counts the bytes")
def test_a_step_moves_a_few_numbers_a_row_and_encode_keeps_its_output(tmp_path: Path) -> None:
    from tests.neuron_sim import runtime

    program = spec()
    session = open_neuron(program, tmp_path, 2)
    runtime.graph_calls.clear()
    decode_greedily(session, 1)
    moved = [(call.host_to_device_bytes, call.device_to_host_bytes) for call in runtime.graph_calls]
    window, prompt, languages = 80 * 48 * 4 + 4, 4 * (3 + 7 + 101 + 4), 5
    rows, choices = 6, 5
    assert moved == [
        (window, 8),
        (prompt, 4 * choices + 4 * (languages + 1 + choices)),
        (rows * 11 * 4, rows * choices * 8),
    ]


# --- what NxD requires of the application ---------------------------------------------------------


def test_the_first_graph_reads_every_state() -> None:
    inputs = example_inputs(spec(), torch.float32)
    assert next(iter(inputs)) == "decode"
    graph = DecodeGraph(spec(), _OneRank(DIMS, {}), torch.float32)
    assert len(graph.aliases()) == len(list(graph.states.parameters())) == 4 * DIMS.n_text_layer + 1


def test_no_two_graphs_take_inputs_of_the_same_shapes() -> None:
    for program in (spec(), spec(slots=1, beams=1)):
        shapes = [
            str([list(x.shape) for x in inputs])
            for _, buckets in example_inputs(program, torch.float32).values()
            for inputs in buckets
        ]
        assert len(shapes) == len(set(shapes)) == len(program.encode_batches) + 5


@pytest.mark.parametrize(
    ("args", "written"),
    [
        ((), "--auto-cast=none -O1 --model-type=transformer"),
        (("--optlevel", "2"), "-O2 --auto-cast=none --model-type=transformer"),
        (("-O3", "--auto-cast matmult"), "-O3 --auto-cast=matmult --model-type=transformer"),
        (("--auto-cast-type=bf16",), "--auto-cast-type=bf16 --auto-cast=none -O1 --model-type=transformer"),
    ],
)
def test_compiler_arguments_are_complete_and_given_once(args: tuple[str, ...], written: str) -> None:
    assert compiler_args(make_profile(1, args=args)) == written


def test_trn2_gets_two_physical_cores_per_logical_core() -> None:
    text = 'format = 1\n[target]\nname = "neuron"\ninstance = "trn2.48xlarge"'
    assert "--lnc=2" in compiler_args(parse_profile(text))


def test_a_compiler_argument_given_twice_is_refused() -> None:
    with pytest.raises(LoweringFailed, match="-O is given twice: '1' and '2'"):
        compiler_args(make_profile(1, args=("-O1", "--optlevel=2")))


@pytest.mark.skipif(not missing_packages("neuron"), reason="the packages are here, so they cannot be missing")
def test_a_compile_process_that_fails_reports_why(tmp_path: Path) -> None:
    with pytest.raises(LoweringFailed, match="neuronx_distributed"):
        compile_in_child(spec(), make_profile(1), tmp_path / "graphs.pt", ignore_progress)


def test_weights_are_those_of_the_table_padding_included(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    program = make_spec(3, 91)
    write_weights(compile_request(program, make_profile(2, "bfloat16"), checkpoint(program), tmp_path))
    last = load_file(tmp_path / "weights" / "tp1.safetensors")
    assert last["layers.decoder.token_embedding.weight"].shape == (803, 96)
    query = last["layers.decoder.blocks.0.attn.query.weight"]
    assert query.shape == (64, 96), "the third head and one of zeros"
    assert query.dtype == torch.bfloat16
    assert query[32:].count_nonzero() == 0
    assert last["layers.spmd.rank"].tolist() == [1]


# --- cores, bans, the machine -----------------------------------------------------------------


def test_cores_are_asked_for_unless_the_environment_has_chosen() -> None:
    environment: dict[str, str] = {}
    assert reserve_cores(environment, 2) == "NEURON_RT_NUM_CORES=2"
    assert environment == {"NEURON_RT_NUM_CORES": "2"}
    chosen = {"NEURON_RT_VISIBLE_CORES": "0-3,6"}
    assert reserve_cores(chosen, 5) == "NEURON_RT_VISIBLE_CORES=0-3,6"
    assert chosen == {"NEURON_RT_VISIBLE_CORES": "0-3,6"}


@pytest.mark.parametrize(
    "chosen", [{"NEURON_RT_VISIBLE_CORES": "1"}, {"NEURON_RT_NUM_CORES": "1"}, {"NEURON_RT_VISIBLE_CORES": "two"}]
)
def test_too_few_cores_are_refused_by_name(chosen: dict[str, str]) -> None:
    with pytest.raises(InvalidOption, match="2 or more NeuronCores"):
        reserve_cores(chosen, 2)


def test_bans_are_a_bit_per_token() -> None:
    banned = np.zeros(20, np.bool_)
    banned[[0, 15, 17]] = True
    assert pack_suppressed(banned).tolist() == [2**15 + 1, 2]


def test_an_artifact_for_another_family_is_refused() -> None:
    check_family("inf2.xlarge", "inf2.8xlarge")
    check_family("inf2", "Standard PC")  # not a machine we know: the runtime will say
    with pytest.raises(ArtifactIncompatible, match="stored 'inf2', here 'trn1'"):
        check_family("inf2.xlarge", "trn1.2xlarge")


def test_a_closed_session_raises_device_error() -> None:
    session = NeuronSession(spec(), PlainBundle(spec()), torch.float32)
    session.close()
    session.close()
    with pytest.raises(DeviceError, match="closed"):
        session.encode([0], mel(1))


def test_what_the_runtime_raises_is_a_device_fault() -> None:
    def execute(*inputs: Tensor) -> tuple[Tensor, Tensor]:
        raise RuntimeError("nrt_execute status=1005")

    with pytest.raises(DeviceError, match="status=1005"):
        NeuronSession(spec(), execute, torch.float32).encode([0], mel(1))
