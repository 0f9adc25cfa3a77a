"""Golden tokens: the reference's word on a made-up window, held against sessions and stored artifacts."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from neuron_whisper.artifact.golden import (
    GOLDEN_FILE,
    GoldenTokens,
    check_golden_tokens,
    make_golden,
    make_golden_window,
    verify_session,
)
from neuron_whisper.artifact.loader import Artifact
from neuron_whisper.artifact.manifest import FileEntry
from neuron_whisper.errors import DeviceError, GoldenTokenMismatch
from neuron_whisper.profile import parse_profile
from neuron_whisper.target.interfaces import ProgramSpec
from neuron_whisper.target.reference.session import ReferenceSession
from tests.support.artifact_samples import sample_manifest
from tests.support.sessions import checkpoint
from tests.support.tiny_program import parameters, spec

FLOAT32 = parse_profile('format = 1\n[target]\nname = "reference"')


def session(program: ProgramSpec, seed: int = 0, *, damage: float = 0.0) -> ReferenceSession:
    """The small model; `damage` is added to one row of a matrix of its last layer."""
    weights = {name: torch.from_numpy(value) for name, value in parameters(program.dims, seed).items()}
    weights["decoder.blocks.1.mlp.2.weight"][7] += damage
    return ReferenceSession(program, [weights])


@pytest.fixture(scope="module")
def golden() -> GoldenTokens:
    return make_golden(checkpoint(spec()), spec(), FLOAT32)


def test_golden_tokens_are_text_and_not_all_the_same(golden: GoldenTokens) -> None:
    assert golden.prompt == (91, 92, 98, 102), "start, the first language, transcribe, no timestamps"
    assert len(golden.tokens) == 12
    assert len(set(golden.tokens)) > 1
    assert all(token < 90 and token % 3 for token in golden.tokens), "text that is not banned"
    assert golden.tolerance == 1e-3


def test_a_session_of_the_same_weights_agrees_in_every_slot_and_its_state_does_not_matter(golden: GoldenTokens) -> None:
    program = spec()
    one = session(program)
    check_golden_tokens(one, golden, slots=(0, 2))
    check_golden_tokens(one, golden, slots=(2, 1, 0))


def test_other_weights_are_found(golden: GoldenTokens) -> None:
    with pytest.raises(GoldenTokenMismatch, match="slot 0, step 0: token") as found:
        check_golden_tokens(session(spec(), seed=1), golden)
    assert len(found.value.mismatches) == 12
    with pytest.raises(GoldenTokenMismatch):
        check_golden_tokens(session(spec(), damage=0.1), golden)


def test_nan_logprobs_are_found(golden: GoldenTokens) -> None:
    with pytest.raises(GoldenTokenMismatch, match="nan"):
        check_golden_tokens(session(spec(), damage=float("nan")), golden)


def test_a_near_tie_may_go_either_way_and_a_clear_choice_may_not(golden: GoldenTokens) -> None:
    other = (golden.tokens[0] + 1, *golden.tokens[1:])
    near = (1e-3, *golden.margins[1:])
    check = msgspec.structs.replace(golden, tokens=other, margins=near)
    # fed with another first token, what follows differs: only the first step is looked at
    check_golden_tokens(session(spec()), msgspec.structs.replace(check, tokens=other[:1]))
    with pytest.raises(GoldenTokenMismatch, match=f"step 0: token {golden.tokens[0]} "):
        check_golden_tokens(session(spec()), msgspec.structs.replace(golden, tokens=other[:1]))


@pytest.mark.parametrize(
    ("dtype", "weights", "args", "tolerance"),
    [
        ("float32", "float32", "", 1e-3),
        ("float16", "float16", "", 0.05),
        ("bfloat16", "bfloat16", "", 0.4),
        ("float32", "int8", "", 0.4),
        ("float32", "float32", "--auto-cast=none", 1e-3),
        ("float32", "float32", "--auto-cast matmult", 0.4),
    ],
)
def test_the_tolerance_is_that_of_the_coarsest_type(dtype: str, weights: str, args: str, tolerance: float) -> None:
    tables = f'[target]\nname = "cpu"\ndtype = "{dtype}"\n[weights]\ndtype = "{weights}"\n'
    profile = parse_profile(f'format = 1\n{tables}[compiler]\nargs = ["{args}"]\n')
    assert make_golden(checkpoint(spec()), spec(), profile).tolerance == tolerance


def test_the_window_is_the_same_everywhere_and_holds_a_voice_and_silence() -> None:
    window = make_golden_window(80, 3000)
    assert window.shape == (80, 3000)
    assert make_golden_window(128, 48).shape == (128, 48)
    assert window[:, :600].std() > 0.2
    assert np.ptp(window[:, 700:]) == 0
    found = window[[5, 20, 40], [100, 250, 400]]
    np.testing.assert_allclose(found, [-0.7317, -0.2566, 0.2042], atol=1e-3)


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
