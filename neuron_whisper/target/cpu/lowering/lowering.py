"""Graphs -> OpenVINO IR; what layout calls free stays free. Compile stage: imports torch."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import torch
from torch import Tensor, nn

from neuron_whisper.errors import LoweringFailed
from neuron_whisper.graph import whisper
from neuron_whisper.graph.layers import PlainLayers
from neuron_whisper.graph.logit_processor import AnswerTokens
from neuron_whisper.model.checkpoint import Checkpoint
from neuron_whisper.profile import CompileProfile
from neuron_whisper.target.cpu.lowering import graph_signatures
from neuron_whisper.target.cpu.lowering.weights import WeightsFile, compress_int8
from neuron_whisper.target.interfaces import N_RULES, ProgramSpec, Progress

Inputs = tuple[Tensor, ...]
Function = Callable[..., Inputs]
Axes = Mapping[int, tuple[int, ...]]  # of ports
TRACED_SLOTS, TRACED_LENGTH = 3, 7  # of what a free axis is while it is traced: no other axis's length


class _Graph(nn.Module):
    """A function of flat tensors, in the form that the tracer wants."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self._function = function

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return self._function(*inputs)


def _pairs(flat: Sequence[Tensor]) -> list[whisper.KeysValues]:
    return [(flat[i], flat[i + 1]) for i in range(0, len(flat), 2)]


def _flat(pairs: Iterable[whisper.KeysValues], dtype: torch.dtype) -> tuple[Tensor, ...]:
    return tuple(tensor.to(dtype) for pair in pairs for tensor in pair)


class Lowering:
    """All graphs of one program over one set of parameters."""

    def __init__(self, spec: ProgramSpec, profile: CompileProfile, checkpoint: Checkpoint) -> None:
        self._spec, self._profile = spec, profile
        self._program = self._answering(spec.choices)
        parameters = {
            name: torch.from_numpy(np.array(checkpoint.tensor(name), np.float32)) for name in checkpoint.names
        }
        self._layers = PlainLayers(spec.dims, parameters)
        self._cache_dtype = torch.float32 if profile.target.dtype == "float32" else torch.bfloat16
        # 16 bit loses nothing of a checkpoint that is stored in float16
        self._half_weights = profile.weights.dtype != "float32" or checkpoint.dtype == "float16"

    def write(self, into: Path, progress: Progress) -> None:
        """Every graph below `into`. Raises LoweringFailed naming the graph."""
        names = graph_signatures.graph_names(self._spec)
        scratch = into / "scratch"
        scratch.mkdir(parents=True)
        (into / "graphs").mkdir()
        (into / "weights").mkdir()
        with WeightsFile(graph_signatures.weights_file(into)) as weights:
            for done, name in enumerate(names):
                progress(f"lowering {name}", done, len(names))
                try:
                    model = self._lower(name)
                    draft = scratch / f"{name}.xml"
                    ov.save_model(model, draft, compress_to_fp16=self._half_weights)
                    weights.adopt(draft, graph_signatures.graph_file(into, name))
                except (RuntimeError, OSError) as error:
                    raise LoweringFailed(name, str(error)) from error
        shutil.rmtree(scratch)
        progress("lowering", len(names), len(names))

    def _answering(self, choices: int) -> whisper.Program:
        return whisper.Program(self._spec.dims, AnswerTokens.of(self._spec), choices)

    def _lower(self, name: str) -> ov.Model:
        kind, _, sizes = name.partition("_")
        build: Callable[..., tuple[Function, Inputs, Axes]] = getattr(self, f"_{kind}")
        function, inputs, free = build(*map(int, sizes.split("x") if sizes else ()))
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracer warns of every size that becomes a constant, as it must
            traced = torch.jit.trace(_Graph(function), inputs, check_trace=False)  # type: ignore[no-untyped-call]
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

    def _cache_inputs(self, *shape: int) -> Inputs:
        return tuple(torch.zeros(shape, dtype=self._cache_dtype) for _ in range(2 * self._spec.dims.n_text_layer))

    def _cross_inputs(self, slots: int) -> Inputs:
        d = self._spec.dims
        return self._cache_inputs(slots, d.n_text_head, d.n_audio_ctx, d.head_dim)

    def _rules_inputs(self, slots: int, rows: int) -> Inputs:
        return torch.zeros(rows, N_RULES, dtype=torch.int32), torch.zeros(slots, self._spec.dims.n_vocab)

    def _encode(self, batch: int, context: int | None = None) -> tuple[Function, Inputs, Axes]:
        def function(mel: Tensor) -> tuple[Tensor, ...]:
            return _flat(whisper.encode(self._program, self._layers, mel, fills=False), self._cache_dtype)

        dims = self._spec.dims
        return function, (torch.zeros(batch, dims.n_mels, 2 * context if context else dims.n_frames),), {}

    def _prefill(self) -> tuple[Function, Inputs, Axes]:
        def function(tokens: Tensor, sot_and_last: Tensor, rules: Tensor, banned: Tensor, *cross: Tensor) -> Inputs:
            *answers, fresh = whisper.prefill(
                self._program, self._layers, _pairs(cross), tokens, sot_and_last, rules, banned
            )
            return (*answers, *_flat(fresh, self._cache_dtype))

        tokens = torch.zeros(1, TRACED_LENGTH, dtype=torch.int32), torch.zeros(2, dtype=torch.int32)
        inputs = (*tokens, *self._rules_inputs(1, 1), *self._cross_inputs(1))
        return function, inputs, {0: (1,)} | dict.fromkeys(range(graph_signatures.PREFILL_INPUTS, len(inputs)), (2,))

    def _decode(self, width: int) -> tuple[Function, Inputs, Axes]:
        return self._step(whisper.decode, width)

    def _logits(self, width: int) -> tuple[Function, Inputs, Axes]:
        return self._step(whisper.logits, width)

    def _step(self, graph: Callable[..., tuple[Any, ...]], width: int) -> tuple[Function, Inputs, Axes]:
        dims, slots = self._spec.dims, TRACED_SLOTS
        n_past = 2 * dims.n_text_layer
        program = self._answering(graph_signatures.choices(self._spec, width))

        def function(
            tokens: Tensor, positions: Tensor, rules: Tensor, banned: Tensor, windows: Tensor, *caches: Tensor
        ) -> Inputs:
            *answers, fresh = graph(
                program,
                self._layers,
                _pairs(caches[:n_past]),
                _pairs(caches[n_past:]),
                tokens,
                positions,
                rules,
                banned,
                windows,
            )
            return (*answers, *_flat(fresh, self._cache_dtype))

        row = torch.zeros(slots, width, dtype=torch.int32)
        past = self._cache_inputs(slots, width, dims.n_text_head, self._spec.text_context, dims.head_dim)
        windows = torch.full((slots,), dims.n_audio_ctx, dtype=torch.int32)
        rules = self._rules_inputs(slots, slots * width)
        inputs = (row, row.clone(), *rules, windows, *past, *self._cross_inputs(slots))
        free: dict[int, tuple[int, ...]] = dict.fromkeys(range(graph_signatures.STEP_INPUTS), (0,))
        free |= dict.fromkeys(range(graph_signatures.STEP_INPUTS, graph_signatures.STEP_INPUTS + n_past), (0, 3))
        free |= dict.fromkeys(range(graph_signatures.STEP_INPUTS + n_past, len(inputs)), (0, 2))
        return function, inputs, free

    def _align(self) -> tuple[Function, Inputs, Axes]:
        def function(tokens: Tensor, *cross: Tensor) -> tuple[Tensor, ...]:
            heads = self._spec.alignment_heads
            return (whisper.align(self._program, self._layers, _pairs(cross), tokens, heads),)

        inputs = (torch.zeros(1, TRACED_LENGTH, dtype=torch.int32), *self._cross_inputs(1))
        return function, inputs, {0: (1,)} | dict.fromkeys(range(graph_signatures.ALIGN_INPUTS, len(inputs)), (2,))
