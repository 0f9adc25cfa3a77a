"""Data types of graphs by the names that profiles use."""

from __future__ import annotations

from neuron_whisper.graph.dtypes import TORCH_DTYPES
from neuron_whisper.planning.cost_model import DTYPE_BYTES


def test_the_types_are_those_that_costs_are_computed_for() -> None:
    assert {name: dtype.itemsize for name, dtype in TORCH_DTYPES.items()} == DTYPE_BYTES
