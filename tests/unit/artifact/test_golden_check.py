"""Each graph of a session held against the reference: the one that differs is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from neuron_whisper.artifact.golden import GOLDEN_FILE, GoldenTokens, make_golden
from neuron_whisper.artifact.golden_check import (
    GraphCheck,
    check_golden_tokens,
    find_differing,
    verify_session,
)
from neuron_whisper.artifact.loader import Artifact
from neuron_whisper.artifact.manifest import FileEntry
from neuron_whisper.errors import DeviceError, GoldenTokenMismatch
from neuron_whisper.profile import parse_profile
from neuron_whisper.target.interfaces import PrefillInputs, PrefillOutput, ProgramSpec, StepInputs, TopTokens
from neuron_whisper.target.reference.session import ReferenceSession
from tests.support.artifact_samples import sample_manifest
from tests.support.sessions import checkpoint
from tests.support.tiny_program import parameters, spec

FLOAT32 = parse_profile('format = 1\n[target]\nname = "reference"')
GRAPHS = (
    "encode 2",
    "prefill 4",
    "encode 1",
    "decode 3",
    "logits 3",
    "decode 3 x 2",
    "logits 3 x 2",
    "prefill 16",
    "align 16",
)


class OneWrongGraph(ReferenceSession):
    """The small model, of which the named graph returns or stores something else."""

    wrong = ""

    def encode(self, slots: Sequence[int], mel: NDArray[np.float32]) -> None:
        super().encode(slots, mel[::-1].copy() if self.wrong == f"encode {len(slots)}" and len(slots) > 1 else mel)
        if self.wrong == "encode 1" == f"encode {len(slots)}":
            super().encode(slots, -mel)

    def prefill(self, slot: int, inputs: PrefillInputs) -> PrefillOutput:
        if self.wrong != f"prefill {self.spec.bucket_for(len(inputs.prompt))}":
            return super().prefill(slot, inputs)
        other = inputs.prompt.copy()
        other[-1] = 5
        return super().prefill(slot, replace(inputs, prompt=other))

    def decode(self, inputs: StepInputs) -> TopTokens:
        found = super().decode(inputs)
        if self.wrong == self._name("decode"):
            return TopTokens(tokens=found.tokens, logprobs=found.logprobs - np.float32(0.1))
        return found

    def logits(self, inputs: StepInputs) -> NDArray[np.float32]:
        found = super().logits(inputs)
        return np.roll(found, 1, axis=-1) if self.wrong == self._name("logits") else found

    def _name(self, kind: str) -> str:
        width = int(self._beam_widths.max())
        return f"{kind} {self.spec.slots}" + (f" x {width}" if width > 1 else "")

    def align(self, slot: int, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
        found = super().align(slot, tokens)
        return found[::-1] if self.wrong == "align 16" else found


def session(program: ProgramSpec, seed: int = 0, *, damage: float = 0.0, wrong: str = "") -> OneWrongGraph:
    """The small model; `damage` is added to one row of a matrix of its last layer."""
    weights = {name: torch.from_numpy(value) for name, value in parameters(program.dims, seed).items()}
    weights["decoder.blocks.1.mlp.2.weight"][7] += damage
    made = OneWrongGraph(program, [weights])
    made.wrong = wrong
    return made


@pytest.fixture(scope="module")
def golden() -> GoldenTokens:
    return make_golden(checkpoint(spec()), spec(), FLOAT32)


def test_a_session_of_the_same_weights_agrees_in_every_slot_and_its_state_does_not_matter(golden: GoldenTokens) -> None:
    one = session(spec())
    assert check_golden_tokens(one, golden, slots=(0, 2)) == GRAPHS
    assert check_golden_tokens(one, golden, slots=(2, 1, 0)) == GRAPHS


@pytest.mark.parametrize("graph", GRAPHS)
def test_the_one_graph_that_differs_is_named(golden: GoldenTokens, graph: str) -> None:
    with pytest.raises(GoldenTokenMismatch) as found:
        check_golden_tokens(session(spec(), wrong=graph), golden, slots=(0, 2))
    assert found.value.graphs == (graph,)
    assert f"failed in {graph}: " in str(found.value)


@pytest.mark.parametrize("graph", ["encode 2", "decode 3", "logits 3"])
def test_it_is_named_by_what_earlier_versions_recorded_too(golden: GoldenTokens, graph: str) -> None:
    old = msgspec.structs.replace(golden, format=1, prefills=(), alignments=())
    assert check_golden_tokens(session(spec()), old) == GRAPHS[:-2]
    with pytest.raises(GoldenTokenMismatch) as found:
        check_golden_tokens(session(spec(), wrong=graph), old)
    assert found.value.graphs == (graph,)
    with pytest.raises(GoldenTokenMismatch, match="failed in every graph: "):  # one prompt alone
        check_golden_tokens(session(spec(), wrong="prefill 4"), old)


def test_other_weights_are_found_in_every_graph(golden: GoldenTokens) -> None:
    with pytest.raises(GoldenTokenMismatch, match=r"in every graph: .*slot 0, step 0: token") as found:
        check_golden_tokens(session(spec(), seed=1), golden)
    assert found.value.graphs == ()
    assert len(found.value.mismatches) > 20
    assert str(found.value).count("slot 0") == 8
    assert f"and {len(found.value.mismatches) - 8} more" in str(found.value)
    with pytest.raises(GoldenTokenMismatch):
        check_golden_tokens(session(spec(), damage=0.1), golden)


def test_nan_logprobs_are_found(golden: GoldenTokens) -> None:
    with pytest.raises(GoldenTokenMismatch, match="nan"):
        check_golden_tokens(session(spec(), damage=float("nan")), golden)


def test_a_near_tie_may_go_either_way_and_a_clear_choice_may_not(golden: GoldenTokens) -> None:
    other = (golden.tokens[0] + 1, *golden.tokens[1:])
    near = (1e-3, *golden.margins[1:])
    # fed with another first token, what follows differs: only the first step is looked at
    first = msgspec.structs.replace(golden, tokens=other[:1])
    check_golden_tokens(session(spec()), msgspec.structs.replace(first, margins=near))
    with pytest.raises(GoldenTokenMismatch, match=f"step 0: token {golden.tokens[0]} "):
        check_golden_tokens(session(spec()), first)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"no_speech_prob": 0.9}, r"prefill 16: probability of no speech 0\.\d+, expected 0\.900 \+- 0\.002"),
        ({"language_logprob": -9.0}, r"prefill 16: language \d: log-probability -\d\.\d+, expected -9\.000"),
        ({"logprob": -9.0}, r"prefill 16: slot 0: token \d+ \("),
    ],
)
def test_every_output_of_a_prompt_is_compared(golden: GoldenTokens, change: dict[str, float], message: str) -> None:
    changed = msgspec.structs.replace(golden.prefills[1], **change)
    prefills = (golden.prefills[0], changed)
    with pytest.raises(GoldenTokenMismatch, match=message) as found:
        check_golden_tokens(session(spec()), msgspec.structs.replace(golden, prefills=prefills))
    assert found.value.graphs == ("prefill 16",)


def test_a_graph_that_fails_is_named(golden: GoldenTokens) -> None:
    closed = session(spec())
    closed.close()
    with pytest.raises(DeviceError, match="golden tokens, prefill 4: the session is closed"):
        check_golden_tokens(closed, golden)


def test_a_session_that_differs_is_closed(golden: GoldenTokens, tmp_path: Path) -> None:
    content = msgspec.json.encode(golden)
    (tmp_path / GOLDEN_FILE).write_bytes(content)
    entry = FileEntry(size=len(content), sha256="0" * 64)
    manifest = msgspec.structs.replace(sample_manifest(), files={GOLDEN_FILE: entry})
    artifact = Artifact(path=tmp_path, manifest=manifest)
    right, wrong = session(spec()), session(spec(), seed=1)
    verify_session(right, artifact)
    check_golden_tokens(right, golden)
    with pytest.raises(GoldenTokenMismatch):
        verify_session(wrong, artifact)
    with pytest.raises(DeviceError, match="closed"):
        check_golden_tokens(wrong, golden)


# --- which graph it is ----------------------------------------------------------------------------

CHAINS = (("e2", "p"), ("e1", "p"), ("e1", "p", "d"), ("e1", "p", "l"), ("e1", "q"), ("e1", "a"))


@given(st.sampled_from(["e1", "e2", "p", "q", "d", "l", "a"]))
def test_a_single_wrong_graph_is_found_from_what_failed(wrong: str) -> None:
    checks = [GraphCheck(graphs, ("off",) if wrong in graphs else ()) for graphs in CHAINS]
    assert find_differing(checks) == (wrong,)


@given(st.sets(st.sampled_from(["e1", "e2", "p", "q", "d", "l", "a"]), min_size=1))
def test_of_several_none_is_named_that_passed_and_each_failure_is_explained(wrong: set[str]) -> None:
    checks = [GraphCheck(graphs, ("off",) if wrong & set(graphs) else ()) for graphs in CHAINS]
    found = find_differing(checks)
    passed = {graph for check in checks if not check.mismatches for graph in check.graphs}
    assert not set(found) & passed
    assert bool(found) is bool(passed)


def test_a_graph_that_passed_and_failed_is_named_where_nothing_else_explains_it() -> None:
    assert find_differing([GraphCheck(("e1", "p"), ()), GraphCheck(("e1", "p"), ("off",))]) == ("e1", "p")
