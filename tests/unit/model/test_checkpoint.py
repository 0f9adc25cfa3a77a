"""Every form of a checkpoint gives the same tensors, and a wrong one says what is wrong with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neuron_whisper.errors import CheckpointError
from neuron_whisper.model.checkpoint import expected_shapes, open_checkpoint
from tests.support.checkpoint_files import (
    CT2,
    DIMS,
    WEIGHTS,
    WRITERS,
    Weights,
    all_equal,
    hf_names,
    write_hf,
    write_openai,
)
from tests.support.paths import ROOT


@pytest.mark.parametrize("form", WRITERS)
def test_every_form_gives_the_same_names_dims_and_values(form: str, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(WRITERS[form](tmp_path))
    assert checkpoint.dims == DIMS
    assert checkpoint.dtype == "float16"
    assert all_equal(checkpoint)


def test_only_configured_formats_name_alignment_heads_and_a_tokenizer(tmp_path: Path) -> None:
    forms = ("safetensors", "ctranslate2", "openai")
    hf, ct2, pt = (open_checkpoint(WRITERS[form](tmp_path)) for form in forms)
    assert [c.format for c in (hf, ct2, pt)] == ["huggingface", "ctranslate2", "openai"]
    assert [c.alignment_heads for c in (hf, ct2, pt)] == [((0, 1),), ((0, 1),), None]
    assert [c.tokenizer_file and c.tokenizer_file.parent.name for c in (hf, ct2, pt)] == ["hf", "ct2", None]


def test_alignment_heads_of_a_deeper_teacher_are_dropped(tmp_path: Path) -> None:
    assert open_checkpoint(write_hf(tmp_path, heads=[[0, 1], [17, 0]])).alignment_heads is None


def test_digests_cover_weights_and_configs_and_see_a_flipped_bit(tmp_path: Path) -> None:
    path, cache = write_hf(tmp_path / "hf"), tmp_path / "digests"
    before = open_checkpoint(path).compute_digests(cache)
    assert sorted(before) == ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json"]
    assert before["tokenizer.json"] == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert open_checkpoint(path).compute_digests(cache) == before == open_checkpoint(path).compute_digests()
    raw = bytearray((path / "model.safetensors").read_bytes())
    raw[-1] ^= 1
    (path / "model.safetensors").write_bytes(raw)
    after = open_checkpoint(path).compute_digests(cache)
    assert [name for name in after if after[name] != before[name]] == ["model.safetensors"]


def test_files_of_a_slow_tokenizer_count_as_part_of_the_checkpoint_only_without_a_tokenizer_json(
    tmp_path: Path,
) -> None:
    write_hf(tmp_path)
    (tmp_path / "vocab.json").touch()
    assert "vocab.json" not in open_checkpoint(tmp_path).compute_digests()
    (tmp_path / "tokenizer.json").unlink()
    assert "vocab.json" in open_checkpoint(tmp_path).compute_digests()


def test_no_reader_imports_torch() -> None:
    modules = "neuron_whisper.model.checkpoint, neuron_whisper.model.sources"
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    root = ROOT
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# --- what is wrong with a checkpoint -------------------------------------------------------------


def change_weights(change: str) -> Weights:
    tensors = dict(WEIGHTS)
    match change:
        case "missing":
            del tensors["decoder.ln.bias"]
        case "misshapen":
            tensors["decoder.ln.bias"] = np.zeros(9, np.float16)
        case "surplus":
            tensors["decoder.extra.bias"] = np.zeros(9, np.float16)
    return tensors


@pytest.mark.parametrize(
    ("change", "tensor", "expected", "found"),
    [
        ("missing", "decoder.ln.bias", "shape (8,)", "no such tensor"),
        ("misshapen", "decoder.ln.bias", "shape (8,)", "shape (9,)"),
        ("surplus", "decoder.extra.bias", "no tensor of this name", "shape (9,)"),
    ],
)
def test_a_wrong_tensor_is_named_with_what_was_expected_and_found(
    change: str, tensor: str, expected: str, found: str, tmp_path: Path
) -> None:
    hf = write_hf(tmp_path / "hf", hf_names(change_weights(change)))
    ct2 = CT2()
    beta = "decoder/layer_norm/beta"
    if change == "missing":
        del ct2.variables[beta]
    else:
        ct2.plain(beta if change == "misshapen" else "decoder/extra/bias", np.zeros(9, np.float16))
    ct2.write(tmp_path / "ct2")
    pt = write_openai(tmp_path / "model.pt", change_weights(change))
    in_ct2 = "decoder/extra/bias" if change == "surplus" else beta
    for path, file, name in (
        (hf, hf / "model.safetensors", tensor.replace(".ln.", ".layer_norm.")),
        (tmp_path / "ct2", tmp_path / "ct2" / "model.bin", in_ct2),
        (pt, pt, tensor),
    ):
        with pytest.raises(CheckpointError) as caught:
            open_checkpoint(path)
        error = caught.value
        assert (error.file, error.tensor, error.expected, error.found) == (file, name, expected, found)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(form=st.sampled_from(sorted(WRITERS)), share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_weight_file_is_refused_wherever_it_is_cut(
    form: str, share: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = WRITERS[form](tmp_path_factory.mktemp("cut"))
    files = open_checkpoint(path).files
    for file in files[-1:]:
        raw = file.read_bytes()
        file.write_bytes(raw[: int(share * len(raw))])
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(path)
    assert caught.value.file in files


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(form=st.sampled_from(sorted(WRITERS)), share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_gives_the_shapes_of_its_dims_or_a_checkpoint_error(
    form: str, share: float, bit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = WRITERS[form](tmp_path_factory.mktemp("flip"))
    file = open_checkpoint(path).files[-1]
    raw = bytearray(file.read_bytes())
    raw[int(share * len(raw))] ^= 1 << bit
    file.write_bytes(raw)
    try:
        checkpoint = open_checkpoint(path)
    except CheckpointError:
        return
    shapes = {name: checkpoint.tensor(name).shape for name in checkpoint.parameter_names}
    assert shapes == expected_shapes(checkpoint.dims)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    form=st.sampled_from(sorted(WRITERS)),
    share=st.floats(0, 1),
    is_behind=st.booleans(),
    noise=st.binary(min_size=1, max_size=8)
    | st.sampled_from([b"\xff" * 4, b"\xff" * 8, b"9" * 8, b"[" * 8, b'"', b"{"]),
)
def test_bytes_replaced_near_an_end_of_the_file_give_a_checkpoint_or_a_checkpoint_error(
    form: str, share: float, is_behind: bool, noise: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = WRITERS[form](tmp_path_factory.mktemp("noise"))
    file = open_checkpoint(path).files[0]
    raw = bytearray(file.read_bytes())
    at = int(share**4 * (len(raw) - 1))  # headers and directories are at the ends
    at = len(raw) - 1 - at if is_behind else at
    raw[at : at + len(noise)] = noise
    file.write_bytes(raw)
    try:
        checkpoint = open_checkpoint(path)
        shapes = {name: checkpoint.tensor(name).shape for name in checkpoint.parameter_names}
    except CheckpointError as error:
        found = str(error)
        assert found.count("\n") == 0
        return
    assert shapes == expected_shapes(checkpoint.dims)


def test_bytes_behind_the_last_tensor_are_refused(tmp_path: Path) -> None:
    hf, ct2 = write_hf(tmp_path / "hf"), CT2().write(tmp_path / "ct2")
    for path in (hf / "model.safetensors", ct2 / "model.bin"):
        size = path.stat().st_size
        with path.open("ab") as file:
            file.write(b"\0")
        with pytest.raises(CheckpointError, match=f"expected {size} bytes, found {size + 1} bytes"):
            open_checkpoint(path.parent)


@pytest.mark.parametrize("name", ["nothing", "empty", "notes.txt"])
def test_a_path_without_a_checkpoint_says_what_would_be_one(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(CheckpointError, match=r"a .pt file, or a directory with model.safetensors"):
        open_checkpoint(tmp_path / name)
