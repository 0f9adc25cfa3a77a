"""CpuTarget: beams and sampling cost nothing until they are used."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neuron_whisper.errors import TargetUnavailable
from neuron_whisper.model.published_dims import PUBLISHED_DIMS
from neuron_whisper.profile import list_profiles, load_profile
from neuron_whisper.target.cpu.lowering import graph_signatures
from neuron_whisper.target.cpu.target import TARGET
from neuron_whisper.target.interfaces import ProgramSpec, Session, spec_from_profile
from tests.support.session_steps import decode_step, encode_and_prefill, logits_step, prefill_window
from tests.support.sessions import open_session
from tests.support.tiny_program import spec

SMALL = replace(spec(slots=1), prompt_buckets=(16,), align_buckets=())
GREEDY = {"encode_1", "prefill", "decode_1"}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("program")
    open_session("cpu float32", SMALL, directory).close()
    return directory


@pytest.fixture
def greedy_only(program: Path, tmp_path: Path) -> Iterator[Session]:
    """A session on the program without the files of any other graph."""
    copy = Path(shutil.copytree(program, tmp_path / "copy"))
    for file in (copy / "graphs").iterdir():
        if file.stem not in GREEDY:
            file.unlink()
    session = open_session("cpu float32", SMALL, copy)
    yield session
    session.close()


def test_greedy_decoding_needs_no_other_graph(greedy_only: Session) -> None:
    encode_and_prefill(greedy_only, 0)
    answer = decode_step(greedy_only, {0: 11}, 3)
    assert np.isfinite(answer.logprobs[0, 0])
    assert (answer.logprobs[0, 1:] == -np.inf).all(), "a narrow graph returns the best alone"
    with pytest.raises(TargetUnavailable, match="cannot load logits_1"):
        logits_step(greedy_only, {0: 11}, 3)
    prefill_window(greedy_only, 0, beams=2)
    with pytest.raises(TargetUnavailable, match="cannot load decode_2"):
        decode_step(greedy_only, {0: [11, 12]}, 3)
    prefill_window(greedy_only, 0)
    assert decode_step(greedy_only, {0: 11}, 3).tokens[0, 0] == answer.tokens[0, 0]


def test_a_program_has_a_graph_for_one_row_and_for_all_of_a_slot() -> None:
    assert graph_signatures.graph_names(spec(slots=3, beams=2)) == (
        "encode_1",
        "encode_2",
        "prefill",
        "decode_1",
        "decode_2",
        "logits_1",
        "logits_2",
        "align",
    )
    assert graph_signatures.graph_names(SMALL) == (
        "encode_1",
        "prefill",
        "decode_1",
        "decode_2",
        "logits_1",
        "logits_2",
    )


def test_a_prompt_is_padded_to_the_shortest_bucket_or_in_steps_up_to_the_longest() -> None:
    lengths = [graph_signatures.padded_length((4, 32, 90), length) for length in (1, 4, 5, 32, 33, 64, 65, 90)]
    assert lengths == [4, 4, 32, 32, 64, 64, 90, 90]


@pytest.mark.parametrize("beams", [1, 5])
def test_what_an_opened_session_holds_does_not_grow_with_the_beams(beams: int) -> None:
    program: ProgramSpec = spec(slots=8, beams=beams)
    assert TARGET.decoder_copies(program) == 2, "prompts of any length, steps of any number of slots"
    assert TARGET.self_kv_rows(program) == 1


@pytest.mark.parametrize("name", sorted(name for name in list_profiles() if name.startswith("cpu")))
def test_every_cpu_profile_has_five_beams_and_the_choices_they_need(name: str) -> None:
    program = spec_from_profile(PUBLISHED_DIMS["base"], load_profile(name))
    assert (program.beams, program.choices) == (5, 11)
