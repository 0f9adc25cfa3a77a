"""StreamedParameters: a checkpoint's parameters as float32 tensors, read when they are used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from neuron_whisper.model.checkpoint import Checkpoint

KEPT_BYTES = 1 << 29  # the decoders of base (200 MB) and of Kotoba-Whisper (480 MB) fit


class StreamedParameters(Mapping[str, Tensor]):
    """For a few steps of a model of any size: a parameter is in memory while it is used.

    One that is used again is kept from then on, up to `kept_bytes` of them all: a decoder's, not an encoder's.
    """

    def __init__(self, checkpoint: Checkpoint, *, kept_bytes: int = KEPT_BYTES) -> None:
        self._checkpoint = checkpoint
        self._names = frozenset(checkpoint.parameter_names)
        self._used: set[str] = set()
        self._kept: dict[str, Tensor] = {}
        self._free_bytes = kept_bytes

    def __getitem__(self, name: str) -> Tensor:
        if name in self._kept:
            return self._kept[name]
        if name not in self._names:
            raise KeyError(name)
        tensor = torch.tensor(self._checkpoint.tensor(name), dtype=torch.float32)
        if name in self._used and tensor.nbytes <= self._free_bytes:
            self._free_bytes -= tensor.nbytes
            self._kept[name] = tensor
        self._used.add(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._checkpoint.parameter_names)

    def __len__(self) -> int:
        return len(self._names)
