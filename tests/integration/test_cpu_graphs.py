"""A CPU session compiles the graphs of beams and sampling only when they are used."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neuron_whisper.errors import DeviceError
from neuron_whisper.target.interfaces import Session
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
    with pytest.raises(DeviceError, match="cannot load logits_1"):
        logits_step(greedy_only, {0: 11}, 3)
    prefill_window(greedy_only, 0, beams=2)
    with pytest.raises(DeviceError, match="cannot load decode_2"):
        decode_step(greedy_only, {0: [11, 12]}, 3)
    prefill_window(greedy_only, 0)
    assert decode_step(greedy_only, {0: 11}, 3).tokens[0, 0] == answer.tokens[0, 0]
