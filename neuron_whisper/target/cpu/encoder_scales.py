"""EncoderScales: the static scales of an 8-bit encoder, their file, and where a model's file is found.

A layer is a product, or several that read the same input. A file is safetensors: for each layer `<layer>.smoothing`
(in,) int8 and `<layer>.range` (3,) float32 (low, high, error), for each block `<block>.attn.scores` (3,) float32
(query_peak, key_peak, error). It holds nothing of the audio that it was made of.
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

from neuron_whisper.errors import ScalesError
from neuron_whisper.host.atomic_files import write_atomically
from neuron_whisper.model.dims import WhisperDims
from neuron_whisper.model.parameters import ENCODER_POSITIONS, expected_shapes

if TYPE_CHECKING:
    from neuron_whisper.model.checkpoint import Checkpoint

FORMAT = "1"
PACKAGED_SCALES = Path(__file__).parent / "scales"
CACHE_FOLDER = "encoder-scales"  # below the cache directory
SUFFIX = ".safetensors"
SMOOTHING_STEPS = 12  # smoothing is 2 ** (n / SMOOTHING_STEPS), n of 8 bit: within 3 % of any from 1/1500 to 1500
SCALES_LIMIT_BYTES = 64 << 20  # large-v3 takes 0.4 MB
FINGERPRINT_ROWS = 8  # of each parameter: any training changes all rows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerScales:
    """How a layer's input x (..., in) becomes 8 bit: x / smoothing (in,), in 256 steps from low to high.

    `error` is the relative error of the encoder's output when this layer alone is in 8 bit.
    """

    smoothing: NDArray[np.float32]
    low: float
    high: float
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreScales:
    """The largest |query| and |key| of a block, and `error` as of LayerScales with its scores alone in 8 bit."""

    query_peak: float
    key_peak: float
    error: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EncoderScales:
    """The scales of layers and of attention scores by name, and what speech they were made of."""

    layers: Mapping[str, LayerScales]
    scores: Mapping[str, ScoreScales]
    speech: str = ""


def layer_parameters(dims: WhisperDims) -> dict[str, tuple[str, ...]]:
    """The encoder's layers, in order, and the matrices of each: cross-K/V of all decoder layers are the last layer."""
    layers: dict[str, tuple[str, ...]] = {f"encoder.{name}": (f"encoder.{name}.weight",) for name in ("conv1", "conv2")}
    for i in range(dims.n_audio_layer):
        block = f"encoder.blocks.{i}"
        layers[f"{block}.attn"] = tuple(f"{block}.attn.{part}.weight" for part in ("query", "key", "value"))
        for part in ("attn.out", "mlp.0", "mlp.2"):
            layers[f"{block}.{part}"] = (f"{block}.{part}.weight",)
    layers["decoder.cross_attn"] = tuple(
        f"decoder.blocks.{i}.cross_attn.{part}.weight" for i in range(dims.n_text_layer) for part in ("key", "value")
    )
    return layers


def score_names(dims: WhisperDims) -> list[str]:
    """The attention scores of each block."""
    return [f"encoder.blocks.{i}.attn.scores" for i in range(dims.n_audio_layer)]


def fingerprint_encoder(checkpoint: Checkpoint) -> str:
    """sha256, in hex, of what scales depend on: equal for the same weights in any checkpoint format.

    Values are compared in float16, of each parameter the first rows: few of its bytes are read. Positions are left
    out, since they are sinusoids, which some checkpoints lack.
    """
    digest = hashlib.sha256()
    for name in checkpoint.parameter_names:
        if name == ENCODER_POSITIONS or not (name.startswith("encoder.") or ".cross_attn." in name):
            continue
        rows = checkpoint.first_rows(name, FINGERPRINT_ROWS)
        with np.errstate(over="ignore"):  # a value above float16's largest is infinity in every format
            content = np.ascontiguousarray(rows, np.float16).tobytes()
        digest.update(f"{name}{rows.shape}".encode() + content)
    return digest.hexdigest()


def scales_file(directory: Path, fingerprint: str) -> Path:
    return directory / f"{fingerprint[:32]}{SUFFIX}"


def find_scales(fingerprint: str, directory: Path | None) -> Path | None:
    """The model's file: the one in `directory`, where `calibrate` writes, before the packaged one; None without any."""
    directories = [*([directory] if directory else []), PACKAGED_SCALES]
    return next((path for it in directories if (path := scales_file(it, fingerprint)).is_file()), None)


def write_scales(path: Path, scales: EncoderScales, fingerprint: str) -> None:
    """Write a file that read_scales reads, whole or not at all."""
    tensors: dict[str, NDArray[Any]] = {}
    for name, layer in scales.layers.items():
        tensors[f"{name}.smoothing"] = encode_smoothing(layer.smoothing)
        tensors[f"{name}.range"] = np.array([layer.low, layer.high, layer.error], np.float32)
    for name, scores in scales.scores.items():
        tensors[name] = np.array([scores.query_peak, scores.key_peak, scores.error], np.float32)
    metadata = {"format": FORMAT, "encoder": fingerprint, "speech": scales.speech}
    write_atomically(path, save(tensors, metadata), mode=0o644)


def read_scales(path: Path, dims: WhisperDims, fingerprint: str) -> EncoderScales:
    """The file's scales for a model, checked. Raises ScalesError naming file and field."""
    try:
        if path.stat().st_size > SCALES_LIMIT_BYTES:
            raise ScalesError(path, "file", f"it is larger than {SCALES_LIMIT_BYTES >> 20} MiB")
        with safe_open(path, "numpy") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except (OSError, SafetensorError, TypeError, ValueError, AttributeError) as error:  # numpy lacks some 8-bit types
        raise ScalesError(path, "file", f"it is no readable safetensors file ({error})") from None
    if (value := metadata.get("format")) != FORMAT:
        raise ScalesError(path, "format", f"{str(value)[:80]!r} is not {FORMAT!r}")
    if (value := metadata.get("encoder")) != fingerprint:
        advice = "give the scales of this model, which neuron-whisper calibrate makes"
        raise ScalesError(
            path, "encoder", f"{str(value)[:80]!r} is another model's; this one's is {fingerprint!r}", advice
        )
    shapes = expected_shapes(dims)
    reader = _ScalesReader(path, tensors)
    layers = {name: reader.read_layer(name, shapes[them[0]][1]) for name, them in layer_parameters(dims).items()}
    scores = {name: reader.read_scores(name) for name in score_names(dims)}
    return EncoderScales(layers=layers, scores=scores, speech=metadata.get("speech", ""))


class _ScalesReader:
    """Takes the tensors of a file apart. Methods raise ScalesError naming the tensor."""

    def __init__(self, path: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
        self._path, self._tensors = path, tensors

    def _read(self, field: str, length: int, dtype: type[np.generic]) -> NDArray[Any]:
        tensor = self._tensors.get(field)
        expected = f"({length},) {np.dtype(dtype)}"
        if tensor is None:
            raise ScalesError(self._path, field, f"it is missing; expected {expected}")
        if tensor.shape != (length,) or tensor.dtype != dtype:
            raise ScalesError(self._path, field, f"it is {tensor.shape} {tensor.dtype}; expected {expected}")
        if not np.isfinite(tensor).all():
            raise ScalesError(self._path, field, "it holds NaN or infinity")
        return tensor

    def read_layer(self, name: str, channels: int) -> LayerScales:
        smoothing = decode_smoothing(self._read(f"{name}.smoothing", channels, np.int8))
        low, high, error = map(float, self._read(f"{name}.range", 3, np.float32))
        if not low <= 0 < high or error < 0:
            raise ScalesError(self._path, f"{name}.range", f"{[low, high, error]} is not low <= 0 < high, error >= 0")
        return LayerScales(smoothing=smoothing, low=low, high=high, error=error)

    def read_scores(self, name: str) -> ScoreScales:
        query, key, error = map(float, self._read(name, 3, np.float32))
        if min(query, key) <= 0 or error < 0:
            raise ScalesError(self._path, name, f"{[query, key, error]} is not peaks above 0, error >= 0")
        return ScoreScales(query_peak=query, key_peak=key, error=error)


def encode_smoothing(smoothing: NDArray[np.float32]) -> NDArray[np.int8]:
    """Steps of SMOOTHING_STEPS to a doubling."""
    steps: NDArray[np.int8] = np.clip(np.rint(np.log2(smoothing) * SMOOTHING_STEPS), -127, 127).astype(np.int8)
    return steps


def decode_smoothing(steps: NDArray[np.int8]) -> NDArray[np.float32]:
    smoothing: NDArray[np.float32] = np.exp2(steps.astype(np.float32) / np.float32(SMOOTHING_STEPS))
    return smoothing
