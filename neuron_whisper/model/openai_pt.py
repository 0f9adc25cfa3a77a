"""Reading openai/whisper's .pt: {"dims": {...}, "model_state_dict": {name: tensor}}."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from neuron_whisper.errors import CheckpointError
from neuron_whisper.model.dims import WhisperDims
from neuron_whisper.model.openai_heads import find_alignment_heads
from neuron_whisper.model.parameters import check_dims, expected_shapes
from neuron_whisper.model.stored_tensors import CheckpointContents, TensorSource, map_tensors, strip_prefix
from neuron_whisper.model.torch_zip import TorchZip


def read_openai(path: Path) -> CheckpointContents:
    """Opens the file's weights; their names are the canonical ones. Raises CheckpointError."""
    archive = TorchZip(path)
    contents = archive.contents
    found = reprlib.repr(sorted(contents)) if isinstance(contents, Mapping) else type(contents).__name__
    if not isinstance(contents, Mapping) or not {"dims", "model_state_dict"} <= contents.keys():
        raise CheckpointError(path, "", expected="dims and model_state_dict", found=found)
    sizes, state = contents["dims"], contents["model_state_dict"]
    if not isinstance(sizes, Mapping) or not isinstance(state, Mapping):
        raise CheckpointError(path, "", expected="dims and model_state_dict to be dicts", found=found)
    for field in fields(WhisperDims):
        if field.name not in sizes:
            raise CheckpointError(path, "", expected=f"dims.{field.name}", found="no such field")
    dims = check_dims(WhisperDims(**{field.name: sizes[field.name] for field in fields(WhisperDims)}), path)
    stored = strip_prefix(archive.locate_tensors(state), "encoder.conv1.weight")
    shapes = expected_shapes(dims)
    tensors = map_tensors(stored, shapes, {name: TensorSource(name) for name in shapes}, file=path)
    return CheckpointContents(
        dims=dims, tensors=tensors, files=(path,), alignment_heads=find_alignment_heads(dims, path.stem)
    )
