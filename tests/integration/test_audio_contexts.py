"""Shorter windows of the encoder: what they are, where they are taken, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from neuron_whisper.decode.window import WindowRequest
from neuron_whisper.decode.window_options import WindowOptions
from neuron_whisper.engine.engine import Engine
from neuron_whisper.errors import InvalidOption
from neuron_whisper.profile import load_profile, parse_profile
from neuron_whisper.target.interfaces import MIN_TRAILING_SILENCE_FRAMES, Session, spec_from_profile
from neuron_whisper.target.reference.target import ReferenceTarget
from tests.support.fake_session import FakeSession
from tests.support.session_steps import PROMPT, decode_step, prefill_window
from tests.support.sessions import ENCODER_SESSIONS, checkpoint, open_session, tolerance
from tests.support.tiny_program import DIMS, mel, parameters, spec
from tests.unit.engine.test_engine import TIMEOUT_S, TOKENIZER

CONTEXTS = (8, 12)
SPEC = replace(spec(slots=2, beams=1), audio_contexts=CONTEXTS, encode_batch=1, prompt_buckets=(4,))


@pytest.fixture(scope="module", params=ENCODER_SESSIONS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def session(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    made = open_session(kind, SPEC, tmp_path_factory.mktemp("program"))
    yield made
    made.close()


def model_of(context: int) -> Session:
    """The same weights in a model that has no longer window than this."""
    dims = replace(DIMS, n_audio_ctx=context)
    cut = {
        name: values[:context] if name == "encoder.positional_embedding" else values
        for name, values in parameters(DIMS).items()
    }

    class Cut:
        parameter_names = tuple(cut)
        dtype = "float32"

        def tensor(self, name: str) -> NDArray[np.float32]:
            return cut[name]

    assert set(checkpoint(SPEC).parameter_names) == set(cut)
    return ReferenceTarget().open_streamed(replace(SPEC, dims=dims, audio_contexts=()), Cut())  # type: ignore[arg-type]


@pytest.mark.parametrize("context", CONTEXTS)
def test_a_shorter_window_returns_what_a_model_of_that_context_would(kind: str, session: Session, context: int) -> None:
    small = model_of(context)
    for slot in range(SPEC.slots):
        for each in (session, small):
            each.encode([slot], mel(1, seed=slot)[:, :, : 2 * context])
        ours, theirs = prefill_window(session, slot), prefill_window(small, slot)
        np.testing.assert_allclose(
            ours.top_tokens.logprobs[0, 0], theirs.top_tokens.logprobs[0, 0], atol=tolerance(kind)
        )
        first = int(theirs.top_tokens.tokens[0, 0])
        a, b = (decode_step(each, {slot: first}, len(PROMPT)) for each in (session, small))
        np.testing.assert_allclose(a.logprobs[slot, 0], b.logprobs[slot, 0], atol=tolerance(kind))
    if tolerance(kind) < 0.1:
        tokens = np.array([1, 2, 3], np.int32)
        weights, of_small = session.align(1, tokens), small.align(1, tokens)
        repeats = DIMS.n_audio_ctx // context
        np.testing.assert_allclose(weights[:, :, :context] * repeats, of_small, atol=1e-4)
    small.close()


def test_a_slot_takes_a_window_of_another_length_after_each(kind: str, session: Session) -> None:
    window = mel(1, seed=4)
    outputs = []
    for frames in (DIMS.n_frames, 2 * CONTEXTS[0], DIMS.n_frames):
        session.encode([0], window[:, :, :frames])
        outputs.append(prefill_window(session, 0).top_tokens.logprobs)
    np.testing.assert_array_equal(outputs[0], outputs[2])
    assert np.abs(outputs[0] - outputs[1]).max() > 0


@pytest.mark.parametrize("seed", [7, 70])  # the second time, each slot has had another window before
@pytest.mark.parametrize("frames", [(16, 48), (16, 24), (48, 24), (24, 16)])
def test_slots_with_windows_of_different_lengths_are_stepped_together(
    kind: str, session: Session, frames: tuple[int, int], seed: int
) -> None:
    tokens: dict[int, int | list[int]] = {0: 11, 1: 12}
    for slot, length in enumerate(frames):
        session.encode([slot], mel(1, seed=seed + slot)[:, :, :length])
        prefill_window(session, slot)
    together = decode_step(session, tokens, len(PROMPT))
    for slot, token in tokens.items():
        prefill_window(session, slot)
        alone, row = decode_step(session, {slot: token}, len(PROMPT)), slot * session.spec.beams
        np.testing.assert_allclose(together.logprobs[row], alone.logprobs[row], atol=tolerance(kind) or 1e-7)
        assert tolerance(kind) > 0.1 or together.tokens[row].tolist() == alone.tokens[row].tolist()


@given(st.integers(0, 3000))
def test_the_shortest_window_that_holds_the_audio_and_some_silence_is_taken(frames: int) -> None:
    program = spec_from_profile(replace(DIMS, n_audio_ctx=1500), load_profile("cpu-fast"))
    taken = program.frames_to_encode(frames)
    assert taken == 3000 or frames + MIN_TRAILING_SILENCE_FRAMES <= taken
    assert all(taken <= 2 * it for it in program.audio_contexts if frames + MIN_TRAILING_SILENCE_FRAMES <= 2 * it)
    assert spec_from_profile(replace(DIMS, n_audio_ctx=1500), load_profile("cpu")).frames_to_encode(frames) == 3000


class Watched(FakeSession):
    """Remembers (windows, frames) of each encode."""

    def __init__(self) -> None:
        dims = replace(DIMS, n_audio_ctx=600)
        super().__init__(replace(spec(slots=4, beams=1, dims=dims), audio_contexts=(200, 300), encode_batch=4))
        self.encoded: list[tuple[int, int]] = []

    def encode(self, slots: Sequence[int], mel: NDArray[np.float32]) -> None:
        self.encoded.append((len(slots), mel.shape[-1]))
        super().encode(slots, mel)


def test_the_engine_encodes_windows_of_one_length_together() -> None:
    session = Watched()
    session.gate.clear()
    shared = Engine(session, TOKENIZER)
    try:
        options = WindowOptions(language="en", task="transcribe")
        window = np.zeros((DIMS.n_mels, 1200), np.float32)
        # the first sits in its slot until the others wait for theirs
        futures: list[Future[object]] = []
        for frames in (200, 200, 400, 1000, 1200):
            futures.append(shared.submit(WindowRequest(mel=window, options=options, frames=frames)))  # type: ignore[arg-type]
        session.gate.set()
        for future in futures:
            future.result(TIMEOUT_S)
    finally:
        session.gate.set()
        shared.close()
    totals = {frames: sum(n for n, of in session.encoded if of == frames) for frames in (400, 600, 1200)}
    assert totals == {400: 2, 600: 1, 1200: 2}


@pytest.mark.parametrize("contexts", [(7,), (24,), (12, 8), (8, 8), (48,)])
def test_contexts_that_do_not_divide_the_models_are_refused(contexts: tuple[int, ...]) -> None:
    with pytest.raises(InvalidOption, match=r"audio_contexts.*ascending divisors of 24"):
        replace(spec(), audio_contexts=contexts)


def test_the_neuron_target_refuses_audio_contexts() -> None:
    profile = parse_profile('format = 1\n[target]\nname = "neuron"\n[shapes]\naudio_contexts = [8]\n')
    with pytest.raises(InvalidOption, match="audio_contexts"):
        spec_from_profile(DIMS, profile)


def test_a_profile_without_audio_contexts_does_not_name_them(tmp_path: Path) -> None:
    assert "audio_contexts" not in load_profile("cpu").to_canonical()["shapes"]
    written = tmp_path / "same.toml"
    written.write_text(load_profile("cpu-fast").to_toml())
    assert load_profile(str(written)) == load_profile("cpu-fast")
