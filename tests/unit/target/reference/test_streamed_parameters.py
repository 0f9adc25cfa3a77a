"""StreamedParameters: a mapping over a checkpoint that keeps nothing in memory."""

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


def test_a_parameter_is_read_anew_on_every_access_as_float32() -> None:
    checkpoint = CountingCheckpoint()
    streamed = StreamedParameters(cast(Checkpoint, checkpoint))
    assert (list(streamed), len(streamed), checkpoint.reads) == (["a", "b"], 2, [])
    assert streamed["a"].dtype == streamed["a"].dtype == torch.float32
    assert checkpoint.reads == ["a", "a"]


def test_a_parameter_that_the_checkpoint_lacks_is_absent() -> None:
    streamed = StreamedParameters(cast(Checkpoint, CountingCheckpoint()))
    assert streamed.get("c.bias") is None
    with pytest.raises(KeyError):
        streamed["c"]
