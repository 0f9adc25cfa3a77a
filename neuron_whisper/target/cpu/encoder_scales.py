"""EncoderScales: the static scales of an 8-bit encoder, their file, and where a model's file is found.

A layer is a product, or several that read the same input. A file is safetensors: for each layer `<layer>.smoothing`
(in,) int8, `<layer>.mean` (in,) float16 and `<layer>.range` (3,) float32 (low, high, error); for each block
`<block>.attn.peaks` (2,) float32. It holds no audio.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save


from neuron_whisper.host.atomic_files import write_atomically
from neuron_whisper.model.dims import WhisperDims

if TYPE_CHECKING:
    from neuron_whisper.model.checkpoint import Checkpoint

FORMAT = "1"
PACKAGED_SCALES = Path(__file__).parent / "scales"
CACHE_FOLDER = "encoder-scales"  # below the cache directory
SUFFIX = ".safetensors"
SMOOTHING_STEPS = 12  # smoothing is 2 ** (n / SMOOTHING_STEPS), n of 8 bit: within 3 % of any from 1/1500 to 1500
SCALES_LIMIT_BYTES = 64 << 20  # large-v3 takes 1 MB
FINGERPRINT_ROWS = 8  # of each matrix: any training changes all rows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerScales:
    """How a layer's input x (..., in) becomes 8 bit: x / smoothing, in 256 steps from low to high.

    `mean` (in,) is x's mean over the calibration speech less that of its rounding errors; `error` the relative error
    of the layer's products.
    """

    smoothing: NDArray[np.float32]
    low: float
    high: float
    mean: NDArray[np.float32]
    mean_error: NDArray[np.float32]
    error: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EncoderScales:
    """The layers' scales by name, the largest |queries| and |keys| by block, and what speech they were made of."""

    layers: Mapping[str, LayerScales]
    attention_peaks: Mapping[str, tuple[float, float]]
    speech: str = ""


def layer_parameters(dims: WhisperDims) -> dict[str, tuple[str, ...]]:
    """The encoder's layers, in order, and the matrices of each: cross-K/V of all decoder layers are the last layer."""
    layers: dict[str, tuple[str, ...]] = {f"encoder.{name}": (f"encoder.{name}.weight",) for name in ("conv1", "conv2")}
    for block in encoder_blocks(dims):
        layers[f"{block}.attn"] = tuple(f"{block}.attn.{part}.weight" for part in ("query", "key", "value"))
        for part in ("attn.out", "mlp.0", "mlp.2"):
            layers[f"{block}.{part}"] = (f"{block}.{part}.weight",)
    layers["decoder.cross_attn"] = tuple(
        f"decoder.blocks.{i}.cross_attn.{part}.weight" for i in range(dims.n_text_layer) for part in ("key", "value")
    )
    return layers


def encoder_blocks(dims: WhisperDims) -> list[str]:
    return [f"encoder.blocks.{i}" for i in range(dims.n_audio_layer)]


def fingerprint_encoder(checkpoint: Checkpoint) -> str:
    """sha256, in hex, of what scales depend on: equal for the same weights in any checkpoint format.

    Values are compared in float16, of each matrix some rows.
    """
    digest = hashlib.sha256()
    for name in checkpoint.parameter_names:
        if not name.startswith("encoder.") and ".cross_attn." not in name:
            continue
        tensor = checkpoint.tensor(name)
        rows = tensor[:: max(1, len(tensor) // FINGERPRINT_ROWS)] if tensor.ndim > 1 else tensor
        digest.update(f"{name}{tensor.shape}".encode())
        digest.update(np.ascontiguousarray(rows, np.float16).tobytes())
    return digest.hexdigest()


def scales_file(directory: Path, fingerprint: str) -> Path:
    return directory / f"{fingerprint[:32]}{SUFFIX}"


def find_scales(checkpoint: Checkpoint, cache: Path | None) -> Path | None:
    """The model's file: the user's own, below the cache directory, before the packaged one; None without any."""
    fingerprint = fingerprint_encoder(checkpoint)
    directories = [*([cache / CACHE_FOLDER] if cache else []), PACKAGED_SCALES]
    return next((path for it in directories if (path := scales_file(it, fingerprint)).is_file()), None)


def write_scales(path: Path, scales: EncoderScales, fingerprint: str) -> None:
    """Write a file that read_scales reads, whole or not at all."""
    tensors: dict[str, NDArray[Any]] = {}
    for name, layer in scales.layers.items():
        tensors[f"{name}.smoothing"] = encode_smoothing(layer.smoothing)
        tensors[f"{name}.mean"] = layer.mean.astype(np.float16)
        tensors[f"{name}.range"] = np.array([layer.low, layer.high, layer.error], np.float32)
    for block, peaks in scales.attention_peaks.items():
        tensors[f"{block}.attn.peaks"] = np.array(peaks, np.float32)
    metadata = {"format": FORMAT, "encoder": fingerprint, "speech": scales.speech}
    write_atomically(path, save(tensors, metadata), mode=0o644)


def encode_smoothing(smoothing: NDArray[np.float32]) -> NDArray[np.int8]:
    steps = np.rint(np.log2(smoothing) * SMOOTHING_STEPS)
    return np.clip(steps, -127, 127).astype(np.int8)


def decode_smoothing(steps: NDArray[np.int8]) -> NDArray[np.float32]:
    return np.exp2(steps.astype(np.float32) / SMOOTHING_STEPS)
