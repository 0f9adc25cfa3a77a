"""Golden tokens: the reference's word on a made-up window, held against sessions and stored artifacts."""

from __future__ import annotations

import json
import shutil
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
from neuron_whisper.artifact.loader import Artifact, digest_files
from neuron_whisper.artifact.manifest import MANIFEST_NAME, FileEntry, decode_manifest, encode_manifest
from neuron_whisper.cli.main import run
from neuron_whisper.errors import DeviceError, GoldenTokenMismatch
from neuron_whisper.profile import parse_profile
from neuron_whisper.target.interfaces import ProgramSpec
from neuron_whisper.target.reference.session import ReferenceSession
from tests.support.artifact_samples import sample_manifest
from tests.support.sessions import checkpoint
from tests.support.tiny_models import tiny_checkpoint, tiny_profile
from tests.support.tiny_program import parameters, spec

__all__ = ["tiny_checkpoint", "tiny_profile"]  # fixtures

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


# --- artifacts ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path, tiny_profile: Path) -> Path:
    """Do not change it."""
    cache = tmp_path_factory.mktemp("golden") / "cache"
    command = ["compile", "--model", str(tiny_checkpoint), "--profile", str(tiny_profile), "--cache", str(cache)]
    assert run([*command, "--quiet"]) == 0
    return cache


def copy_with_golden(cache: Path, destination: Path, golden: bytes | None) -> Path:
    """A copy of the cache whose artifact has other golden tokens, or none, and digests that fit."""
    copy = Path(shutil.copytree(cache, destination / "cache"))
    (directory,) = (copy / "artifacts").iterdir()
    manifest = decode_manifest((directory / MANIFEST_NAME).read_bytes(), directory)
    files = dict(manifest.files)
    del files[GOLDEN_FILE]
    (directory / GOLDEN_FILE).unlink()
    if golden is not None:
        (directory / GOLDEN_FILE).write_bytes(golden)
        digest = digest_files(directory, [GOLDEN_FILE])[GOLDEN_FILE]
        files[GOLDEN_FILE] = FileEntry(size=len(golden), sha256=digest)
    (directory / MANIFEST_NAME).write_bytes(encode_manifest(msgspec.structs.replace(manifest, files=files)))
    return copy


def read_stored_golden(cache: Path) -> GoldenTokens:
    (directory,) = (cache / "artifacts").iterdir()
    return msgspec.json.decode((directory / GOLDEN_FILE).read_bytes(), type=GoldenTokens)


def run_verify(cache: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capsys.readouterr()
    code = run(["artifacts", "verify", "--run", "--cache", str(cache)])
    return code, capsys.readouterr().out


def test_an_artifact_that_agrees_with_the_reference_is_sound(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run_verify(cache, capsys)
    assert code == 0
    assert out.endswith(": sound; its golden tokens are the reference's\n")
    assert run(["artifacts", "verify", "--run", "--json", "--cache", str(cache)]) == 0
    assert json.loads(capsys.readouterr().out)[0]["run"] == "its golden tokens are the reference's"


def test_an_artifact_that_differs_exits_with_3_and_names_the_step(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    golden = read_stored_golden(cache)
    changed = msgspec.structs.replace(golden, logprobs=(*golden.logprobs[:-1], golden.logprobs[-1] - 1))
    other = copy_with_golden(cache, tmp_path, msgspec.json.encode(changed))
    code, out = run_verify(other, capsys)
    assert code == 3
    assert f"slot 0, step 11: token {golden.tokens[11]} (" in out
    assert "step 10" not in out
    assert run(["artifacts", "verify", "--cache", str(other)]) == 0, "its files are what was published"


@pytest.mark.parametrize("replicas", ["1", "2"])
def test_a_server_with_verification_does_not_serve_an_artifact_that_differs(
    replicas: str, cache: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    golden = read_stored_golden(cache)
    changed = msgspec.structs.replace(golden, logprobs=(*golden.logprobs[:-1], golden.logprobs[-1] - 1))
    other = copy_with_golden(cache, tmp_path, msgspec.json.encode(changed))
    (artifact,) = (other / "artifacts").iterdir()
    command = ["serve", "--artifact", artifact.name, "--cache", str(other), "--port", "0", "--replicas", replicas]
    assert run([*command, "--verify"]) == 3
    output = capfd.readouterr().err
    assert "slot 0, step 11: token" in output
    assert "listening on" not in output


def test_an_artifact_without_golden_tokens_is_not_run_and_reported(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = run_verify(copy_with_golden(cache, tmp_path, None), capsys)
    assert code == 0
    assert out.endswith(": sound; not run: it was compiled without golden tokens\n")


@pytest.mark.parametrize("content", [b"{}", b"not JSON"])
def test_golden_tokens_that_cannot_be_read_count_as_damage(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    code, out = run_verify(copy_with_golden(cache, tmp_path, content), capsys)
    assert code == 3
    assert f"{GOLDEN_FILE}: expected golden tokens" in out
