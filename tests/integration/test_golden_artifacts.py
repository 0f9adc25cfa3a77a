"""Golden tokens of compiled artifacts: checked by the command line and by servers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import pytest

from neuron_whisper.artifact.golden import (
    GOLDEN_FILE,
    GoldenTokens,
)
from neuron_whisper.artifact.loader import digest_files
from neuron_whisper.artifact.manifest import MANIFEST_NAME, FileEntry, decode_manifest, encode_manifest
from neuron_whisper.cli.main import run


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
    checked = out.rpartition(": sound; as the reference in ")[2].strip()
    assert {graph.split()[0] for graph in checked.split(", ")} == {"encode", "prefill", "decode", "logits"}
    assert run(["artifacts", "verify", "--run", "--json", "--cache", str(cache)]) == 0
    assert json.loads(capsys.readouterr().out)[0]["run"] == f"as the reference in {checked}"


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
