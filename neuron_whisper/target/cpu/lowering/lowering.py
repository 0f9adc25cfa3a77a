"""Lowering: writes every graph as OpenVINO IR, with the free axes of graph_signatures. Compile stage: imports torch."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import openvino as ov
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuron_whisper.errors import LoweringFailed
from neuron_whisper.graph import whisper
from neuron_whisper.graph.layers import PlainLayers
from neuron_whisper.graph.logit_processor import SpecialTokenIds
from neuron_whisper.graph.padding_windows import load_padding_windows
from neuron_whisper.model.checkpoint import Checkpoint
from neuron_whisper.model.parameters import OUTPUT_PROJECTION, TOKEN_EMBEDDING, expected_shapes
from neuron_whisper.target.cpu.encoder_scales import EncoderScales, fingerprint_encoder, read_scales
from neuron_whisper.target.cpu.lowering import graph_signatures
from neuron_whisper.target.cpu.lowering.constants import Placeholders
from neuron_whisper.target.cpu.lowering.encoder_int8 import choose_layers, quantize_encoder
from neuron_whisper.target.cpu.lowering.float32_marks import keep_float32
from neuron_whisper.target.cpu.lowering.frontend import Frontend, GraphFunction
from neuron_whisper.target.cpu.lowering.int8_weights import compress_int8
from neuron_whisper.target.cpu.lowering.weights import WeightsFile, compress_bfloat16
from neuron_whisper.target.interfaces import N_RULES, CompileRequest

Tensors = tuple[Tensor, ...]
Axes = Mapping[int, Mapping[int, int]]  # port -> axis -> its length in the graph where that is not the traced one
FREE = -1  # of any length
# Short lengths of free axes while a graph is traced, which computes it; no other axis has these.
TRACED_SLOTS, TRACED_LENGTH, TRACED_PAST, TRACED_AUDIO = 3, 7, 11, 13


def _to_kv_pairs(flat: Sequence[Tensor]) -> list[whisper.KVPair]:
    return [(flat[i], flat[i + 1]) for i in range(0, len(flat), 2)]


def _flatten_kv_pairs(kv_pairs: Iterable[whisper.KVPair], dtype: torch.dtype) -> tuple[Tensor, ...]:
    return tuple(tensor.to(dtype) for pair in kv_pairs for tensor in pair)


class _ReadWhenUsed(Mapping[str, Tensor]):
    """A checkpoint's parameters in float32, of which no more are in memory than are used at a time."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint, self._names = checkpoint, frozenset(checkpoint.parameter_names)

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._names:
            raise KeyError(name)
        return torch.from_numpy(np.array(self._checkpoint.tensor(name), np.float32))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Lowering:
    """All graphs of one program over one set of parameters."""

    def __init__(self, request: CompileRequest) -> None:
        self._request = request
        spec, profile, checkpoint = request.spec, request.profile, request.checkpoint
        self._spec, self._profile = spec, profile
        self._config = self._graph_config(spec.choices)
        self._padding = self._find_padding() if spec.skip_padding else {}
        shapes = expected_shapes(spec.dims) | {name: value.shape for name, value in self._padding.items()}
        if OUTPUT_PROJECTION in checkpoint.parameter_names:
            shapes[OUTPUT_PROJECTION] = shapes[TOKEN_EMBEDDING]
        self._constants = Placeholders(self._read_parameter)
        self._frontend = Frontend(shapes, self._read_parameter, self._constants)
        self._layers = PlainLayers(spec.dims, self._frontend.parameters)
        self._cache_dtype = torch.float32 if profile.target.dtype == "float32" else torch.bfloat16
        self._scales = self._read_encoder_scales()
        self._keeps_float32 = profile.target.dtype != "float32" and profile.weights.dtype in ("bfloat16", "int8")
        # 16 bit loses nothing of a checkpoint that is stored in float16
        self._compress_to_fp16 = not self._keeps_float32 and (
            profile.weights.dtype != "float32" or checkpoint.dtype == "float16"
        )

    def _read_encoder_scales(self) -> EncoderScales | None:
        file, checkpoint = self._request.encoder_scales, self._request.checkpoint
        return read_scales(file, self._spec.dims, fingerprint_encoder(checkpoint)) if file else None

    def write(self) -> None:
        """Write every graph below the request's directory. Raises LoweringFailed naming the graph."""
        directory, progress = self._request.directory, self._request.progress
        names = graph_signatures.graph_names(self._spec)
        scratch = directory / "scratch"
        scratch.mkdir(parents=True)
        (directory / "graphs").mkdir()
        (directory / "weights").mkdir()
        with WeightsFile(graph_signatures.weights_file(directory), self._constants) as weights:
            for done, name in enumerate(names):
                progress(f"lowering {name}", done, len(names))
                try:
                    draft, model = scratch / f"{name}.xml", self._draft_graph(name)
                    places = self._constants.save(model, draft, compress_to_fp16=self._compress_to_fp16)
                    weights.add_model(draft, graph_signatures.graph_file(directory, name), places)
                except (RuntimeError, OSError) as error:
                    raise LoweringFailed(name, str(error)) from error
        shutil.rmtree(scratch)
        progress("lowering", len(names), len(names))

    def _graph_config(self, top_k: int) -> whisper.GraphConfig:
        return whisper.GraphConfig(self._spec.dims, SpecialTokenIds.from_spec(self._spec), top_k)

    def _read_parameter(self, name: str) -> NDArray[np.float32]:
        """Read when a graph needs it: a copy of the checkpoint in float32 would be the most that a compile holds."""
        if name in self._padding:
            return self._padding[name]
        return np.array(self._request.checkpoint.tensor(name), np.float32)

    def _find_padding(self) -> dict[str, NDArray[np.float32]]:
        dims, checkpoint = self._spec.dims, self._request.checkpoint
        layers = PlainLayers(dims, _ReadWhenUsed(checkpoint))
        windows = ((torch.from_numpy(mel), frames) for mel, frames in load_padding_windows(dims.n_mels, dims.n_frames))
        with torch.inference_mode():
            padding = whisper.find_padding(self._config, layers, windows)
        return {name: value.numpy() for name, value in padding.items()}

    def lower_graph(self, name: str) -> ov.Model:
        """A graph by its name in graph_signatures, with all values."""
        model = self._draft_graph(name)
        self._constants.fill(model)
        return model

    def _draft_graph(self, name: str) -> ov.Model:
        """A graph with placeholders of its matrices."""
        kind, _, sizes = name.partition("_")
        build: Callable[..., tuple[GraphFunction, Tensors, Axes]] = getattr(self, f"_{kind}")
        if name == graph_signatures.ENCODE_AUDIO:
            build, sizes = self._encode_audio, ""
        function, inputs, axes = build(*map(int, sizes.split("x") if sizes else ()))
        model = self._frontend.convert(function, inputs)
        if len(model.inputs) != len(inputs):
            raise RuntimeError(f"{len(inputs)} inputs became {len(model.inputs)}")
        shapes = [list(example.shape) for example in inputs]
        for port, lengths in axes.items():
            for axis, length in lengths.items():
                shapes[port][axis] = length
        model.reshape(dict(enumerate(shapes)))
        scales = self._scales if kind == "encode" else None
        if scales is not None:
            quantize_encoder(
                model, self._spec.dims, scales, choose_layers(scales), self._read_parameter, self._constants
            )
        if self._profile.weights.dtype == "int8" and kind != "encode":
            # the encoder is bound by arithmetic, not by reading weights: it gains nothing from 8 bit
            compress_int8(model, self._spec.dims.n_vocab, self._spec.choices, self._constants)
        if self._keeps_float32:
            compress_bfloat16(model, self._spec.dims.n_vocab, self._constants)
            if scales is None:  # beside roundings to 8 bit it gains nothing, and it takes a sixth of the speed
                keep_float32(model, self._spec.dims.n_vocab)
        return model

    def _cache_inputs(self, *shape: int) -> Tensors:
        return tuple(torch.zeros(shape, dtype=self._cache_dtype) for _ in range(2 * self._spec.dims.n_text_layer))

    def _cross_inputs(self, slots: int) -> Tensors:
        d = self._spec.dims
        return self._cache_inputs(slots, d.n_text_head, TRACED_AUDIO, d.head_dim)

    def _rules_inputs(self, slots: int, rows: int) -> Tensors:
        return torch.zeros(rows, N_RULES, dtype=torch.int32), torch.zeros(slots, self._spec.dims.n_vocab)

    def _encode(self, batch: int, context: int | None = None) -> tuple[GraphFunction, Tensors, Axes]:
        def function(mel: Tensor) -> tuple[Tensor, ...]:
            return _flatten_kv_pairs(
                whisper.encode(self._config, self._layers, mel, repeat_to_full=False), self._cache_dtype
            )

        dims = self._spec.dims
        frames = 2 * context if context else dims.n_frames
        return function, (torch.zeros(batch, dims.n_mels, 2 * TRACED_AUDIO),), {0: {2: frames}}

    def _encode_audio(self) -> tuple[GraphFunction, Tensors, Axes]:
        def function(mel: Tensor) -> tuple[Tensor, ...]:
            return _flatten_kv_pairs(whisper.encode_audio(self._config, self._layers, mel), self._cache_dtype)

        return function, (torch.zeros(1, self._spec.dims.n_mels, 2 * TRACED_AUDIO),), {0: {2: FREE}}

    def _prefill(self) -> tuple[GraphFunction, Tensors, Axes]:
        def function(tokens: Tensor, sot_and_last: Tensor, rules: Tensor, bias: Tensor, *cross: Tensor) -> Tensors:
            prompt = whisper.PromptTensors(tokens, sot_and_last, rules, bias)
            *outputs, fresh = whisper.prefill(self._config, self._layers, _to_kv_pairs(cross), prompt)
            return (*outputs, *_flatten_kv_pairs(fresh, self._cache_dtype))

        tokens = torch.zeros(1, TRACED_LENGTH, dtype=torch.int32), torch.zeros(2, dtype=torch.int32)
        inputs = (*tokens, *self._rules_inputs(1, 1), *self._cross_inputs(1))
        cross = {key: {2: FREE} for key in range(graph_signatures.N_PREFILL_INPUTS, len(inputs))}
        return function, inputs, {0: {1: FREE}} | cross

    def _decode(self, width: int) -> tuple[GraphFunction, Tensors, Axes]:
        return self._lower_step(whisper.decode, width)

    def _logits(self, width: int) -> tuple[GraphFunction, Tensors, Axes]:
        return self._lower_step(whisper.logits, width)

    def _lower_step(self, graph: Callable[..., tuple[Any, ...]], width: int) -> tuple[GraphFunction, Tensors, Axes]:
        dims, slots = self._spec.dims, TRACED_SLOTS
        n_past = 2 * dims.n_text_layer
        config = self._graph_config(graph_signatures.top_k_of_width(self._spec, width))

        def function(
            tokens: Tensor, positions: Tensor, rules: Tensor, bias: Tensor, window_lengths: Tensor, *caches: Tensor
        ) -> Tensors:
            past, cross = _to_kv_pairs(caches[:n_past]), _to_kv_pairs(caches[n_past:])
            step = whisper.StepTensors(tokens, positions, rules, bias, window_lengths)
            *outputs, fresh = graph(config, self._layers, past, cross, step)
            return (*outputs, *_flatten_kv_pairs(fresh, self._cache_dtype))

        row = torch.zeros(slots, width, dtype=torch.int32)
        past = self._cache_inputs(slots, width, dims.n_text_head, TRACED_PAST, dims.head_dim)
        window_lengths = torch.full((slots,), dims.n_audio_ctx, dtype=torch.int32)
        rules = self._rules_inputs(slots, slots * width)
        inputs = (row, row.clone(), *rules, window_lengths, *past, *self._cross_inputs(slots))
        n_small = graph_signatures.N_STEP_INPUTS
        axes: dict[int, Mapping[int, int]] = {key: {0: FREE} for key in range(n_small)}
        axes |= {key: {0: FREE, 3: FREE} for key in range(n_small, n_small + n_past)}
        axes |= {key: {0: FREE, 2: FREE} for key in range(n_small + n_past, len(inputs))}
        return function, inputs, axes

    def _align(self) -> tuple[GraphFunction, Tensors, Axes]:
        def function(tokens: Tensor, *cross: Tensor) -> tuple[Tensor, ...]:
            heads = self._spec.alignment_heads
            return (whisper.align(self._config, self._layers, _to_kv_pairs(cross), tokens, heads),)

        inputs = (torch.zeros(1, TRACED_LENGTH, dtype=torch.int32), *self._cross_inputs(1))
        cross = {key: {2: FREE} for key in range(graph_signatures.N_ALIGN_INPUTS, len(inputs))}
        return function, inputs, {0: {1: FREE}} | cross
