"""StreamedParameters: a checkpoint's parameters as float32 tensors, each read anew on every access."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from neuron_whisper.model.checkpoint import Checkpoint


class StreamedParameters(Mapping[str, Tensor]):
    """For a few steps of a model of any size: one parameter is in memory at a time, and every use reads the file."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._names = frozenset(checkpoint.parameter_names)

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._names:
            raise KeyError(name)
        return torch.tensor(self._checkpoint.tensor(name), dtype=torch.float32)

    def __iter__(self) -> Iterator[str]:
        return iter(self._checkpoint.parameter_names)

    def __len__(self) -> int:
        return len(self._names)
