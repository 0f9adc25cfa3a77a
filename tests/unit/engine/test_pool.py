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


def test_an_error_of_the_tree_at_the_start_is_the_openers_error() -> None:
    with pytest.raises(TargetUnavailable, match="buy one") as raised, running_pool(FakeSessionFactory(start="refuses")):
        pass
    assert raised.value.install == "buy one"


def test_a_worker_that_dies_at_its_start_leaves_its_last_words() -> None:
    with (
        pytest.raises(DeviceError, match=r"worker 0 .*\(exit code 9\)[^$]*core 0 is held by another\nnrt: giving up"),
        running_pool(FakeSessionFactory(start="dies")),
    ):
        pass
