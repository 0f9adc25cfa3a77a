"""NeuronSession over graphs in plain torch; tests/neuron_sim runs the contract of sessions on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from neuron_whisper.errors import DeviceError
from neuron_whisper.target.neuron.runtime.session import NeuronSession, pack_suppressed
from tests.support.plain_bundle import PlainBundle
from tests.support.tiny_program import mel, spec


def test_suppressed_tokens_are_a_bit_each() -> None:
    suppressed = np.zeros(20, np.bool_)
    suppressed[[0, 15, 17]] = True
    assert pack_suppressed(suppressed).tolist() == [2**15 + 1, 2]


def test_a_closed_session_raises_device_error() -> None:
    session = NeuronSession(spec(), PlainBundle(spec()))
    session.close()
    session.close()
    with pytest.raises(DeviceError, match="closed"):
        session.encode([0], mel(1))


class FailingGraphs:
    def __call__(self, *inputs: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        raise RuntimeError("nrt_execute status=1005")

    def close(self) -> None:
        pass


def test_an_error_of_the_runtime_is_a_device_error() -> None:
    with pytest.raises(DeviceError, match="status=1005"):
        NeuronSession(spec(), FailingGraphs()).encode([0], mel(1))
