"""EnginePool: a pool that cannot start says why. Pools that run are in tests/integration/test_replicas.py."""

from __future__ import annotations

import pytest

from neuron_whisper.errors import (
    DeviceError,
    TargetUnavailable,
)
from tests.support.replicas import (
    FakeSessionFactory,
    running_pool,
)


def test_the_error_of_a_worker_that_cannot_start_is_raised_by_the_pool() -> None:
    with pytest.raises(TargetUnavailable, match="buy one") as raised, running_pool(FakeSessionFactory(start="refuses")):
        pass
    assert raised.value.install == "buy one"


def test_a_worker_that_dies_at_its_start_leaves_its_last_output() -> None:
    with (
        pytest.raises(DeviceError, match=r"worker 0 .*\(exit code 9\)[^$]*core 0 is held by another\nnrt: giving up"),
        running_pool(FakeSessionFactory(start="dies")),
    ):
        pass
