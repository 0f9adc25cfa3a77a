"""A checkpoint as whisper.cpp's model file: ggml's old format, float16 or 8 bit.

Little-endian: magic; 11 int32 of sizes; mel filters; text tokens; then tensors, each as (dimensions, name length,
type), its shape innermost first, its name, its values. See ggml-org/whisper.cpp src/whisper.cpp whisper_model_load.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.audio.mel import mel_filters
from neuron_whisper.errors import CheckpointError
from neuron_whisper.model.checkpoint import Checkpoint
from neuron_whisper.text.special_tokens import SpecialTokens
from neuron_whisper.text.tiktoken_import import find_packaged_ranks, tokenizer_json_from_tiktoken
from neuron_whisper.text.tokenizer import BYTE_TO_UNICODE

MAGIC = 0x67676D6C
F32, F16, Q8_0 = 0, 1, 8  # ggml_type
FILE_TYPES = {"f16": 1, "q8_0": 2007}  # ggml_ftype; a thousand for each version of the quantisation
BLOCK_SIZE = 32  # values of q8_0 that share a scale
# whisper.cpp adds these to f32 tensors, and takes them as columns
_CONV_BIASES = ("encoder.conv1.bias", "encoder.conv2.bias")


def write_ggml(checkpoint: Checkpoint, variant: str, path: Path) -> None:
    """`variant` is f16 or q8_0 (matrices; convolutions stay f16). Raises CheckpointError, KeyError."""
    dims, file_type = checkpoint.dims, FILE_TYPES[variant]
    tokens = _read_text_tokens(checkpoint)
    filters = mel_filters(dims.n_mels)
    with path.open("wb") as file:
        file.write(
            struct.pack(
                "<12i",
                MAGIC,
                dims.n_vocab,
                dims.n_audio_ctx,
                dims.n_audio_state,
                dims.n_audio_head,
                dims.n_audio_layer,
                dims.n_text_ctx,
                dims.n_text_state,
                dims.n_text_head,
                dims.n_text_layer,
                dims.n_mels,
                file_type,
            )
        )
        file.write(struct.pack("<2i", *filters.shape) + filters.astype("<f4").tobytes())
        file.write(struct.pack("<i", len(tokens)))
        for token in tokens:
            file.write(struct.pack("<i", len(token)) + token)
        for name in checkpoint.parameter_names:
            _write_tensor(file, name, checkpoint.tensor(name), variant)


def _write_tensor(file: BinaryIO, name: str, value: NDArray[Any], variant: str) -> None:
    if name in _CONV_BIASES:
        value = value[:, None]
    if value.ndim < 2 or name in _CONV_BIASES or name.endswith("positional_embedding"):
        kind, content = F32, value.astype("<f4").tobytes()
    elif variant == "q8_0" and value.ndim == 2:
        kind, content = Q8_0, quantize_q8_0(value)
    else:
        kind, content = F16, value.astype("<f2").tobytes()
    file.write(struct.pack("<3i", value.ndim, len(name), kind))
    file.write(struct.pack(f"<{value.ndim}i", *reversed(value.shape)) + name.encode() + content)


def quantize_q8_0(value: NDArray[Any]) -> bytes:
    """Blocks of a float16 scale and 32 int8, the largest of a block being 127 scales. Rows must divide by 32."""
    blocks = value.astype(np.float32).reshape(-1, BLOCK_SIZE)
    scales = np.abs(blocks).max(axis=1) / 127
    is_normal = scales >= np.finfo(np.float32).tiny  # the inverse of a subnormal number overflows
    inverse = np.divide(1.0, scales, out=np.zeros_like(scales), where=is_normal)
    packed = np.empty(len(blocks), np.dtype([("scale", "<f2"), ("values", "i1", (BLOCK_SIZE,))]))
    packed["scale"] = scales
    packed["values"] = np.rint(blocks * inverse[:, None])
    return packed.tobytes()


def _read_text_tokens(checkpoint: Checkpoint) -> list[bytes]:
    """The bytes of every text token, in order; whisper.cpp adds the special ones itself."""
    eot = SpecialTokens.from_vocab_size(checkpoint.dims.n_vocab).eot
    if checkpoint.tokenizer_file is not None:
        text = checkpoint.tokenizer_file.read_text(encoding="utf-8")
    else:
        dims = checkpoint.dims
        text = tokenizer_json_from_tiktoken(find_packaged_ranks(dims.is_multilingual), dims.n_vocab)
    byte_of = {character: byte for byte, character in BYTE_TO_UNICODE.items()}
    spelled = {token: spelling for spelling, token in json.loads(text)["model"]["vocab"].items()}
    if any(token not in spelled for token in range(eot)):
        raise CheckpointError(checkpoint.path, "", expected=f"a tokenizer of {eot} text tokens", found=len(spelled))
    return [bytes(byte_of[character] for character in spelled[token]) for token in range(eot)]
