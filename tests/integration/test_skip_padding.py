"""Programs that skip padding: what a window without it gives, where it is taken, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from neuron_whisper.errors import InvalidOption
from neuron_whisper.profile import load_profile, parse_profile
from neuron_whisper.target.interfaces import MIN_COMPUTED_PADDING_FRAMES, Session, spec_from_profile
from tests.support.session_steps import PROMPT, decode_step, logits_step, prefill_window
from tests.support.sessions import ENCODER_SESSIONS, open_session, tolerance
from tests.support.tiny_program import DIMS, mel, spec

SPEC = replace(spec(slots=3, beams=2), skip_padding=True)
FULL = replace(DIMS, n_audio_ctx=1500)
PROFILE = 'format = 1\n[target]\nname = "{}"\n[shapes]\nskip_padding = true\n'


@pytest.fixture(scope="module", params=ENCODER_SESSIONS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def session(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    made = open_session(kind, SPEC, tmp_path_factory.mktemp("program"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    made = open_session("reference tp1", SPEC, tmp_path_factory.mktemp("reference"))
    yield made
    made.close()


def logprobs(session: Session, slot: int) -> NDArray[np.float32]:
    prefill_window(session, slot)
    found: NDArray[np.float32] = logits_step(session, {slot: int(PROMPT[-1])}, len(PROMPT) - 1)
    return np.array(found[slot * session.spec.beams])


@pytest.mark.parametrize("frames", [2, 16, 18, 46])
def test_every_session_computes_what_the_reference_does(
    kind: str, session: Session, reference: Session, frames: int
) -> None:
    audio = mel(1, seed=frames)[:, :, :frames]
    for each in (session, reference):
        each.encode([0], audio)
    ours, theirs = logprobs(session, 0), logprobs(reference, 0)
    # of every token, not of the best alone: the largest of 1,604 errors of 16 bit is larger
    np.testing.assert_allclose(ours, theirs, atol=2 * tolerance(kind))
    assert np.abs(ours - theirs)[np.isfinite(theirs)].mean() < tolerance(kind) / 2
    tokens = np.array([1, 2, 3], np.int32)
    attention = session.align(0, tokens)
    assert attention.shape == (2, 3, DIMS.n_audio_ctx)
    if tolerance(kind) < 0.1:
        np.testing.assert_allclose(attention, reference.align(0, tokens), atol=1e-4)


def test_a_slot_takes_a_window_of_another_length_after_each(session: Session) -> None:
    window = mel(1, seed=4)
    outputs = []
    for frames in (DIMS.n_frames, 16, 8, DIMS.n_frames, 16):
        session.encode([1], window[:, :, :frames])
        outputs.append(logprobs(session, 1))
    np.testing.assert_array_equal(outputs[0], outputs[3])
    np.testing.assert_array_equal(outputs[1], outputs[4])
    assert np.abs(outputs[1] - outputs[2]).max() > 0


def test_several_windows_are_encoded_at_once(kind: str, session: Session) -> None:
    windows = mel(2, seed=6)[:, :, :20]
    session.encode([0, 2], windows)
    together = [logprobs(session, slot) for slot in (0, 2)]
    for slot, window, expected in zip((0, 2), windows, together, strict=True):
        session.encode([slot], window[None])
        np.testing.assert_allclose(logprobs(session, slot), expected, atol=tolerance(kind))


def test_slots_with_windows_of_different_lengths_are_stepped_together_with_beams(kind: str, session: Session) -> None:
    for slot, frames in enumerate((16, 48, 30)):
        session.encode([slot], mel(1, seed=slot)[:, :, :frames])
        prefill_window(session, slot, beams=2)
    tokens: dict[int, int | list[int]] = {slot: [11 + slot, 21 + slot] for slot in range(3)}
    together = decode_step(session, tokens, len(PROMPT))
    for slot, pair in tokens.items():
        prefill_window(session, slot, beams=2)
        alone, rows = decode_step(session, {slot: pair}, len(PROMPT)), slice(2 * slot, 2 * slot + 2)
        np.testing.assert_allclose(together.logprobs[rows], alone.logprobs[rows], atol=tolerance(kind))


@pytest.mark.parametrize("frames", [0, 15, 50])
def test_windows_of_other_lengths_are_refused(session: Session, frames: int) -> None:
    with pytest.raises(InvalidOption) as refused:
        session.encode([0], np.zeros((1, DIMS.n_mels, frames), np.float32))
    assert refused.value.field == "mel"


def test_without_skip_padding_a_shorter_window_is_refused(tmp_path: Path) -> None:
    session = open_session("reference tp1", replace(SPEC, skip_padding=False), tmp_path)
    with pytest.raises(InvalidOption, match="mel"):
        session.encode([0], mel(1)[:, :, :16])
    session.close()


@given(st.integers(0, 3000))
def test_audio_and_half_a_second_behind_it_are_computed(frames: int) -> None:
    program = spec_from_profile(FULL, parse_profile(PROFILE.format("cpu")))
    taken = program.frames_to_encode(frames)
    program.check_frames(taken)
    assert taken == 3000 or frames + MIN_COMPUTED_PADDING_FRAMES <= taken
    assert taken - frames < 150 or frames < 150 or frames > 2500
    assert spec_from_profile(FULL, load_profile("cpu")).frames_to_encode(frames) == 3000


@pytest.mark.parametrize(("frames", "taken"), [(0, 200), (150, 200), (151, 300), (550, 600), (551, 700), (3000, 3000)])
def test_lengths_to_encode_are_few(frames: int, taken: int) -> None:
    assert spec_from_profile(FULL, parse_profile(PROFILE.format("cpu"))).frames_to_encode(frames) == taken


def test_the_neuron_target_refuses_to_skip_padding() -> None:
    with pytest.raises(InvalidOption) as refused:
        spec_from_profile(DIMS, parse_profile(PROFILE.format("neuron")))
    assert refused.value.field == "skip_padding"


def test_shorter_windows_and_skipped_padding_exclude_each_other() -> None:
    with pytest.raises(InvalidOption) as refused:
        replace(SPEC, audio_contexts=(8,))
    assert refused.value.field == "audio_contexts"


def test_a_profile_that_skips_no_padding_does_not_name_it() -> None:
    assert "skip_padding" not in load_profile("cpu").to_canonical()["shapes"]
    profile = parse_profile(PROFILE.format("cpu"))
    assert parse_profile(profile.to_toml()) == profile
