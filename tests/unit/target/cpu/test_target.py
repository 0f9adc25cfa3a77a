"""CpuTarget: beams and sampling cost nothing until they are used."""

from __future__ import annotations

import pytest

from neuron_whisper.model.published_dims import PUBLISHED_DIMS
from neuron_whisper.profile import list_profiles, load_profile
from neuron_whisper.target.cpu.target import TARGET
from neuron_whisper.target.interfaces import ProgramSpec, spec_from_profile
from tests.support.tiny_program import spec


@pytest.mark.parametrize("beams", [1, 5])
def test_what_an_opened_session_holds_does_not_grow_with_the_beams(beams: int) -> None:
    program: ProgramSpec = spec(slots=8, beams=beams)
    assert TARGET.decoder_copies(program) == 2, "prompts of any length, steps of any number of slots"
    assert TARGET.self_kv_rows(program) == 1


@pytest.mark.parametrize("name", sorted(name for name in list_profiles() if name.startswith("cpu")))
def test_every_cpu_profile_has_five_beams_and_the_choices_they_need(name: str) -> None:
    program = spec_from_profile(PUBLISHED_DIMS["base"], load_profile(name))
    assert (program.beams, program.choices) == (5, 11)
