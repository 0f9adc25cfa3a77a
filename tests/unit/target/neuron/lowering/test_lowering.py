"""Lowering for Neuron: the compiler's arguments, and each rank's weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from neuron_whisper.errors import LoweringFailed
from neuron_whisper.profile import parse_profile
from neuron_whisper.target.neuron.lowering.lowering import compiler_args, with_log_file, write_weights
from tests.support.neuron_programs import make_profile, make_spec
from tests.support.sessions import checkpoint, compile_request


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


@pytest.mark.parametrize(
    ("args", "written"),
    [("-O1", "-O1 --logfile=decode.log"), ("-O1 --logfile=/var/log/mine", "-O1 --logfile=/var/log/mine")],
)
def test_the_compilers_log_has_a_name_and_no_path_unless_the_profile_names_one(args: str, written: str) -> None:
    """NxD would add the path of its folder, and the compile cache's key is a hash of the arguments."""
    assert with_log_file(args, "decode") == written


def test_a_compiler_argument_given_twice_is_refused() -> None:
    with pytest.raises(LoweringFailed, match="-O is given twice: '1' and '2'"):
        compiler_args(make_profile(1, args=("-O1", "--optlevel=2")))


def test_weights_are_those_of_the_table_padding_included(tmp_path: Path) -> None:
    program = make_spec(3, 91)
    write_weights(compile_request(program, make_profile(2, "bfloat16"), checkpoint(program), tmp_path))
    last = load_file(tmp_path / "weights" / "tp1.safetensors")
    assert last["layers.decoder.token_embedding.weight"].shape == (803, 96)
    query = last["layers.decoder.blocks.0.attn.query.weight"]
    assert query.shape == (64, 96), "the third head and one of zeros"
    assert query.dtype == torch.bfloat16
    assert query[32:].count_nonzero() == 0
    assert last["layers.spmd.rank"].tolist() == [1]
