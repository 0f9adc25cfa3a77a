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

from neuron_whisper.target.interfaces import ProgramSpec, Session, StepInputs
from neuron_whisper.target.neuron.lowering.lowering import write_weights
from neuron_whisper.target.neuron.runtime.session import NeuronSession
from neuron_whisper.target.neuron.target import TARGET
from neuron_whisper.target.reference.session import ReferenceSession
from neuron_whisper.target.registry import missing_packages
from tests import neuron_sim
from tests.integration import test_session_contract as contract
from tests.support.neuron_programs import make_profile, make_spec
from tests.support.plain_bundle import PlainBundle
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
        NeuronSession(spec(), PlainBundle(spec()))
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


def test_the_graphs_return_what_the_reference_returns() -> None:
    program = spec()
    session, oracle = NeuronSession(program, PlainBundle(program)), open_reference(program)
    tokens, logprobs = decode_greedily(session, 8)
    wanted, wanted_logprobs = decode_greedily(oracle, 8)
    assert tokens == wanted
    np.testing.assert_allclose(logprobs, wanted_logprobs, atol=1e-5)
    np.testing.assert_allclose(logprobs_after_swap(session), logprobs_after_swap(oracle), atol=3e-5)


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
