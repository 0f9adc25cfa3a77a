"""Sessions of a model whose output projection is not its token embedding."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from neuron_whisper.model.parameters import TOKEN_EMBEDDING
from neuron_whisper.target.interfaces import Session
from tests.support.session_steps import PROMPT, decode_step, encode_and_prefill, logits_step
from tests.support.sessions import checkpoint, open_session, tolerance
from tests.support.tiny_program import DIMS, parameters, spec

SPEC = spec(slots=2, beams=2)
KINDS = ("cpu float32", "cpu bfloat16", "cpu int8")
N_BEST = 8  # fewer than have 16 bit of an 8-bit vocabulary


def make_projection() -> NDArray[np.float32]:
    """A matrix one of whose columns is large, so that a step of 8 bit is a coarse one for all others."""
    shape = (DIMS.n_vocab, DIMS.n_text_state)
    made = np.random.default_rng(3).standard_normal(shape) * 2.5 / np.sqrt(shape[1])
    made[:, 5] *= 20
    return np.asarray(made, np.float32)


def open_with(kind: str, projection: NDArray[np.float32], directory: Path) -> Session:
    return open_session(kind, SPEC, directory, checkpoint(SPEC, projection=projection))


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    made = open_with("reference tp1", make_projection(), tmp_path_factory.mktemp("reference"))
    yield made
    made.close()


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def session(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    made = open_with(kind, make_projection(), tmp_path_factory.mktemp("program"))
    yield made
    made.close()


def logprobs(session: Session, window: int) -> NDArray[np.float32]:
    encode_and_prefill(session, 0, window)
    found: NDArray[np.float32] = logits_step(session, {0: int(PROMPT[-1])}, len(PROMPT) - 1)[0]
    return found.copy()


@pytest.mark.parametrize("window", [0, 1, 2])
def test_the_best_tokens_are_those_of_the_models_own_projection(
    kind: str, session: Session, reference: Session, window: int
) -> None:
    ours, theirs = logprobs(session, window), logprobs(reference, window)
    best = np.argsort(-theirs)[:N_BEST]
    assert np.argmax(ours) == best[0]
    error = ours - theirs
    np.testing.assert_allclose(error[best], error[best[0]], atol=tolerance(kind))  # without what all have alike


def test_a_step_returns_the_best_token_of_the_projection(session: Session, reference: Session) -> None:
    for each in (session, reference):
        encode_and_prefill(each, 1)
    ours, theirs = (decode_step(each, {1: 11}, 3) for each in (session, reference))
    assert ours.tokens[2, 0] == theirs.tokens[2, 0]


def test_a_vocabulary_of_8_bit_has_16_bit_where_tokens_are_chosen(
    reference: Session, tmp_path_factory: pytest.TempPathFactory
) -> None:
    session = open_with("cpu int8", make_projection(), tmp_path_factory.mktemp("int8"))
    theirs = logprobs(reference, 0)
    error = logprobs(session, 0) - theirs
    session.close()
    chosen = np.argsort(-theirs)[:N_BEST]
    others = np.setdiff1d(np.flatnonzero(np.isfinite(theirs)), chosen)
    relative = np.abs(error - error[chosen[0]])
    assert relative[others].max() > 3 * relative[chosen].max()


@pytest.mark.parametrize("detail", ["float32", "int8"])
def test_an_embedding_written_out_as_projection_changes_nothing(detail: str, tmp_path: Path) -> None:
    (tmp_path / "tied").mkdir()
    (tmp_path / "own").mkdir()
    embedding = parameters()[TOKEN_EMBEDDING]
    tied = open_session(f"cpu {detail}", SPEC, tmp_path / "tied")
    own = open_with(f"cpu {detail}", embedding, tmp_path / "own")
    np.testing.assert_array_equal(logprobs(own, 0), logprobs(tied, 0))
    for session in (tied, own):
        session.close()
