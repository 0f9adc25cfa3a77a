"""StreamedParameters: a mapping over a checkpoint that keeps what is used again, up to a limit."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from neuron_whisper.model.checkpoint import Checkpoint
from neuron_whisper.target.reference.streamed_parameters import StreamedParameters
from tests.support.sessions import MemoryCheckpoint


class CountingCheckpoint(MemoryCheckpoint):
    def __init__(self) -> None:
        super().__init__({"a": np.ones(2, np.float32), "b": np.zeros(3, np.float32)})
        self.reads: list[str] = []

    def tensor(self, name: str) -> NDArray[Any]:
        self.reads.append(name)
        return super().tensor(name).astype(np.float16)


def test_a_parameter_is_float32_and_kept_from_its_second_use() -> None:
    checkpoint = CountingCheckpoint()
    streamed = StreamedParameters(cast(Checkpoint, checkpoint))
    assert (list(streamed), len(streamed), checkpoint.reads) == (["a", "b"], 2, [])
    assert [streamed["a"].dtype for _ in range(4)] == [torch.float32] * 4
    assert streamed["a"].tolist() == [1, 1]
    assert checkpoint.reads == ["a", "a"]


def test_a_parameter_that_is_used_once_takes_no_place_from_those_that_are_used_again() -> None:
    checkpoint = CountingCheckpoint()
    streamed = StreamedParameters(cast(Checkpoint, checkpoint), kept_bytes=12)  # "b" is 12 bytes
    for name in ("a", "b", "b", "b"):
        streamed[name]
    assert checkpoint.reads == ["a", "b", "b"]


def test_parameters_beyond_the_limit_are_read_on_every_use() -> None:
    checkpoint = CountingCheckpoint()
    streamed = StreamedParameters(cast(Checkpoint, checkpoint), kept_bytes=12)
    for name in ("b", "b", "a", "a", "a", "b"):
        streamed[name]
    assert checkpoint.reads == ["b", "b", "a", "a", "a"]


def test_a_parameter_that_the_checkpoint_lacks_is_absent() -> None:
    streamed = StreamedParameters(cast(Checkpoint, CountingCheckpoint()))
    assert streamed.get("c.bias") is None
    with pytest.raises(KeyError):
        streamed["c"]
