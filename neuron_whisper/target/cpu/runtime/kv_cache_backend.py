"""KVCacheBackend: where a session on OpenVINO keeps K/V, and the K/V ports of its graphs.

Axes as in graph/whisper.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import openvino as ov
from numpy.typing import NDArray

Array = NDArray[np.generic]
ANY_SLOTS = 0  # the form of a graph that leaves the number of slots free


@dataclass(frozen=True, slots=True)
class StepRows:
    """The rows in use of a step over the slots of `span`, (n,) each.

    A row's slot in the session, its slot in the span, its beam, and the position of its token.
    """

    span: slice
    session_slots: NDArray[np.intp]
    slot: NDArray[np.intp]
    beam: NDArray[np.intp]
    positions: NDArray[np.int32]


class StepCaches(Protocol):
    """The K/V ports of one request of a decode or logits graph."""

    def bind(self, span: slice) -> None:
        """Set the ports that depend on the slots of the step alone."""

    def before_run(self, rows: StepRows) -> None:
        """Set the ports that depend on the step's rows."""

    def after_run(self, rows: StepRows) -> None:
        """Make the graph's fresh rows part of the rows' past."""


class KVCacheBackend(Protocol):
    """The K/V of all slots.

    `element` is the type of the caches' values, `window_lengths` (S,) the positions of each slot's window.
    """

    element: ov.Type
    window_lengths: NDArray[np.int32]

    def compile_options(self, capabilities: Collection[str]) -> Mapping[str, str]:
        """OpenVINO's options for these caches, on a device with these optimization capabilities."""

    def form_of(self, name: str, slots: int) -> int:
        """The form of the graph `name` that runs over so many slots: 1 (for one alone) or ANY_SLOTS."""

    def adapt_model(self, model: ov.Model, name: str, form: int) -> ov.Model:
        """The artifact's graph `name` in a form, with K/V ports for these caches. The model given is used up."""

    def cross_views(self, slot: int) -> list[Array]:
        """Views of the slot's cross-K/V, in the shape of a graph's ports for one window."""

    def on_encoded(self, slots: Sequence[int]) -> None:
        """Called when these slots have new cross-K/V."""

    def store_prompt(self, slot: int, beams: int, length: int, fresh_rows: Sequence[Array]) -> None:
        """Make fresh rows (1, H, T, D), of which `length` are the prompt's, the past of the slot's first rows."""

    def rearrange(self, parents: NDArray[np.int32], positions: NDArray[np.int32], in_use: NDArray[np.bool_]) -> None:
        """Give each beam its parent's past; parents, positions, in_use (S, B). Other rows are not touched."""

    def bind_step(self, request: ov.InferRequest, kind: str, width: int) -> StepCaches:
        """The K/V ports of a "decode" or "logits" request for slots of `width` rows."""


def set_inputs(request: ov.InferRequest, first: int, *arrays: NDArray[Any]) -> None:
    """Bind arrays to the input ports from `first` on, without a copy."""
    for port, array in enumerate(arrays, first):
        request.set_input_tensor(port, ov.Tensor(array, shared_memory=True))


def share_cache(view: Array, element: ov.Type) -> ov.Tensor:
    """A tensor on a view of a cache, without a copy; bfloat16 is stored as its bits in uint16."""
    if element == ov.Type.bf16:
        return ov.Tensor(view, ov.Shape(view.shape), ov.Type.bf16)
    return ov.Tensor(view, shared_memory=True)


def read_cache_output(request: ov.InferRequest, port: int, element: ov.Type) -> Array:
    """An output in the form that caches store, without a copy."""
    values: Array = request.get_output_tensor(port).data
    return values.view(np.uint16) if element == ov.Type.bf16 else values
