"""Lowering: writes every graph as OpenVINO IR, with the free axes of graph_signatures. Compile stage: imports torch."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import openvino as ov
import torch
from torch import Tensor, nn

from neuron_whisper.errors import LoweringFailed
from neuron_whisper.graph import whisper
from neuron_whisper.graph.layers import PlainLayers
from neuron_whisper.graph.logit_processor import SpecialTokenIds
from neuron_whisper.target.cpu.lowering import graph_signatures
from neuron_whisper.target.cpu.lowering.weights import WeightsFile, compress_int8
from neuron_whisper.target.interfaces import N_RULES, CompileRequest

Tensors = tuple[Tensor, ...]
GraphFunction = Callable[..., Tensors]
DynamicAxes = Mapping[int, tuple[int, ...]]  # port -> axes of any length
TRACED_SLOTS, TRACED_LENGTH = 3, 7  # lengths of free axes while a graph is traced; no other axis has these


class _TracedModule(nn.Module):
    """A function of flat tensors, as the module that the tracer takes."""

    def __init__(self, function: GraphFunction) -> None:
        super().__init__()
        self._function = function

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return self._function(*inputs)


def _to_kv_pairs(flat: Sequence[Tensor]) -> list[whisper.KVPair]:
    return [(flat[i], flat[i + 1]) for i in range(0, len(flat), 2)]


def _flatten_kv_pairs(kv_pairs: Iterable[whisper.KVPair], dtype: torch.dtype) -> tuple[Tensor, ...]:
    return tuple(tensor.to(dtype) for pair in kv_pairs for tensor in pair)


class Lowering:
    """All graphs of one program over one set of parameters."""

    def __init__(self, request: CompileRequest) -> None:
        self._request = request
        spec, profile, checkpoint = request.spec, request.profile, request.checkpoint
        self._spec, self._profile = spec, profile
        self._config = self._graph_config(spec.choices)
        parameters = {
            name: torch.from_numpy(np.array(checkpoint.tensor(name), np.float32)) for name in checkpoint.parameter_names
        }
        self._layers = PlainLayers(spec.dims, parameters)
        self._cache_dtype = torch.float32 if profile.target.dtype == "float32" else torch.bfloat16
        # 16 bit loses nothing of a checkpoint that is stored in float16
        self._compress_to_fp16 = profile.weights.dtype != "float32" or checkpoint.dtype == "float16"

    def write(self) -> None:
        """Write every graph below the request's directory. Raises LoweringFailed naming the graph."""
        directory, progress = self._request.directory, self._request.progress
        names = graph_signatures.graph_names(self._spec)
        scratch = directory / "scratch"
        scratch.mkdir(parents=True)
        (directory / "graphs").mkdir()
        (directory / "weights").mkdir()
        with WeightsFile(graph_signatures.weights_file(directory)) as weights:
            for done, name in enumerate(names):
                progress(f"lowering {name}", done, len(names))
                try:
                    model = self.lower_graph(name)
                    draft = scratch / f"{name}.xml"
                    ov.save_model(model, draft, compress_to_fp16=self._compress_to_fp16)
                    weights.add_model(draft, graph_signatures.graph_file(directory, name))
                except (RuntimeError, OSError) as error:
                    raise LoweringFailed(name, str(error)) from error
        shutil.rmtree(scratch)
        progress("lowering", len(names), len(names))

    def _graph_config(self, top_k: int) -> whisper.GraphConfig:
        return whisper.GraphConfig(self._spec.dims, SpecialTokenIds.from_spec(self._spec), top_k)

    def lower_graph(self, name: str) -> ov.Model:
        """A graph by its name in graph_signatures."""
        kind, _, sizes = name.partition("_")
        build: Callable[..., tuple[GraphFunction, Tensors, DynamicAxes]] = getattr(self, f"_{kind}")
        function, inputs, free = build(*map(int, sizes.split("x") if sizes else ()))
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracer warns of every size that becomes a constant, as it must
            traced = torch.jit.trace(_TracedModule(function), inputs, check_trace=False)  # type: ignore[no-untyped-call]
            model = ov.convert_model(traced, example_input=inputs)
        if len(model.inputs) != len(inputs):
            raise RuntimeError(f"{len(inputs)} inputs became {len(model.inputs)}")
        shapes = [list(example.shape) for example in inputs]
        for port, axes in free.items():
            for axis in axes:
                shapes[port][axis] = -1
        model.reshape(dict(enumerate(shapes)))
        if self._profile.weights.dtype == "int8" and kind != "encode":
            # the encoder is bound by arithmetic, not by reading weights: it gains nothing from 8 bit
            compress_int8(model)
        return model

    def _cache_inputs(self, *shape: int) -> Tensors:
        return tuple(torch.zeros(shape, dtype=self._cache_dtype) for _ in range(2 * self._spec.dims.n_text_layer))

    def _cross_inputs(self, slots: int) -> Tensors:
        d = self._spec.dims
        return self._cache_inputs(slots, d.n_text_head, d.n_audio_ctx, d.head_dim)

    def _rules_inputs(self, slots: int, rows: int) -> Tensors:
        return torch.zeros(rows, N_RULES, dtype=torch.int32), torch.zeros(slots, self._spec.dims.n_vocab)

    def _encode(self, batch: int, context: int | None = None) -> tuple[GraphFunction, Tensors, DynamicAxes]:
        def function(mel: Tensor) -> tuple[Tensor, ...]:
            return _flatten_kv_pairs(
                whisper.encode(self._config, self._layers, mel, repeat_to_full=False), self._cache_dtype
            )

        dims = self._spec.dims
        return function, (torch.zeros(batch, dims.n_mels, 2 * context if context else dims.n_frames),), {}

    def _prefill(self) -> tuple[GraphFunction, Tensors, DynamicAxes]:
        def function(tokens: Tensor, sot_and_last: Tensor, rules: Tensor, bias: Tensor, *cross: Tensor) -> Tensors:
            prompt = whisper.PromptTensors(tokens, sot_and_last, rules, bias)
            *outputs, fresh = whisper.prefill(self._config, self._layers, _to_kv_pairs(cross), prompt)
            return (*outputs, *_flatten_kv_pairs(fresh, self._cache_dtype))

        tokens = torch.zeros(1, TRACED_LENGTH, dtype=torch.int32), torch.zeros(2, dtype=torch.int32)
        inputs = (*tokens, *self._rules_inputs(1, 1), *self._cross_inputs(1))
        return function, inputs, {0: (1,)} | dict.fromkeys(range(graph_signatures.N_PREFILL_INPUTS, len(inputs)), (2,))

    def _decode(self, width: int) -> tuple[GraphFunction, Tensors, DynamicAxes]:
        return self._lower_step(whisper.decode, width)

    def _logits(self, width: int) -> tuple[GraphFunction, Tensors, DynamicAxes]:
        return self._lower_step(whisper.logits, width)

    def _lower_step(
        self, graph: Callable[..., tuple[Any, ...]], width: int
    ) -> tuple[GraphFunction, Tensors, DynamicAxes]:
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
        past = self._cache_inputs(slots, width, dims.n_text_head, self._spec.text_context, dims.head_dim)
        window_lengths = torch.full((slots,), dims.n_audio_ctx, dtype=torch.int32)
        rules = self._rules_inputs(slots, slots * width)
        inputs = (row, row.clone(), *rules, window_lengths, *past, *self._cross_inputs(slots))
        free: dict[int, tuple[int, ...]] = dict.fromkeys(range(graph_signatures.N_STEP_INPUTS), (0,))
        free |= dict.fromkeys(range(graph_signatures.N_STEP_INPUTS, graph_signatures.N_STEP_INPUTS + n_past), (0, 3))
        free |= dict.fromkeys(range(graph_signatures.N_STEP_INPUTS + n_past, len(inputs)), (0, 2))
        return function, inputs, free

    def _align(self) -> tuple[GraphFunction, Tensors, DynamicAxes]:
        def function(tokens: Tensor, *cross: Tensor) -> tuple[Tensor, ...]:
            heads = self._spec.alignment_heads
            return (whisper.align(self._config, self._layers, _to_kv_pairs(cross), tokens, heads),)

        inputs = (torch.zeros(1, TRACED_LENGTH, dtype=torch.int32), *self._cross_inputs(1))
        return function, inputs, {0: (1,)} | dict.fromkeys(range(graph_signatures.N_ALIGN_INPUTS, len(inputs)), (2,))
