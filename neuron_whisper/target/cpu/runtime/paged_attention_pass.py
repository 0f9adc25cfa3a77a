"""A pass that converts the artifact's graphs to OpenVINO's PagedAttention, for processors without bfloat16.

It runs when a session opens. Without it a decode step's attention is one product of a vector with a matrix per head,
which the plugin's matrix product runs at a quarter of the memory's bandwidth (after writing 16-bit K/V out as float32).
PagedAttention reads 16-bit rows in place, only those that were written, and none for an idle slot; it writes the fresh
rows itself.

Axes as in graph/whisper; a block holds BLOCK_SIZE positions of all heads: (H, BLOCK_SIZE, D). P is the blocks of a
self-K/V row, W those of a window's cross-K/V. Ports of a step, instead of past and cross in graph_signatures:
self_blocks (S*B*P,), cross_blocks (S*W,), cross_past (S,), per layer the last row of cross keys and values (S, H*D),
then per layer keys and values of all self rows (blocks, H, BLOCK_SIZE, D), and of all windows. Its outputs have no
fresh rows.
"""

from __future__ import annotations

import numpy as np
import openvino as ov
from openvino import opset13 as ops
from openvino.op import _PagedAttentionExtension as PagedAttention

from neuron_whisper.model.dims import WhisperDims
from neuron_whisper.target.cpu.lowering import graph_signatures
from neuron_whisper.target.interfaces import ProgramSpec

BLOCK_SIZE = 32  # positions; the plugin's kernels are written for it
N_INDEX_INPUTS = 3  # inputs between graph_signatures.N_STEP_INPUTS and the last rows


def count_blocks(positions: int) -> int:
    """Blocks that hold `positions`."""
    return -(-positions // BLOCK_SIZE)


def to_paged_attention(model: ov.Model, name: str, spec: ProgramSpec, element: ov.Type) -> ov.Model:
    """The graph with its K/V ports in blocks of `element` (f16, f32). The model given is used up."""
    kind = name.partition("_")[0]
    if kind == "encode":
        return _convert_encode(model, spec.dims, element)
    if kind in graph_signatures.N_STEP_OUTPUTS:
        return _convert_step(model, kind, spec)
    if kind == "prefill":
        first, n_outputs = graph_signatures.N_PREFILL_INPUTS, graph_signatures.N_PREFILL_OUTPUTS
    else:
        first, n_outputs = graph_signatures.N_ALIGN_INPUTS, 1
    return _convert_prompt(model, first, n_outputs, spec.dims, element)


def _convert_encode(model: ov.Model, dims: WhisperDims, element: ov.Type) -> ov.Model:
    """Outputs (N, H, A, D) -> (N, W, H, BLOCK_SIZE, D), zero after the last position."""
    heads, blocks = dims.n_text_head, count_blocks(dims.n_audio_ctx)
    results = []
    for port in model.outputs:
        x, context = _unwrap_result(port, "Transpose", "Convert"), port.get_shape()[2]  # (N, A, H, D)
        if x.get_shape()[1] != context:  # with one head the transposition moves nothing, and is a reshape
            x = ops.transpose(x, np.array([0, 2, 1, 3], np.int64)).output(0)
        if context < dims.n_audio_ctx:  # prompts read the full window: repeated, as in graph/whisper.encode
            x = ops.tile(x, np.array([1, dims.n_audio_ctx // context, 1, 1], np.int64)).output(0)
        batch = x.get_shape()[0]
        end = np.array([0, blocks * BLOCK_SIZE - dims.n_audio_ctx, 0, 0], np.int64)
        padded = ops.pad(x, np.zeros(4, np.int64), end, "constant", np.float32(0))
        split = ops.reshape(padded, np.array([batch, blocks, BLOCK_SIZE, heads, dims.head_dim], np.int64), False)
        results.append(ops.convert(ops.transpose(split, np.array([0, 1, 3, 2, 4], np.int64)), element))
    return ov.Model(results, model.get_parameters())


def _convert_prompt(model: ov.Model, first: int, n_outputs: int, dims: WhisperDims, element: ov.Type) -> ov.Model:
    """Cross-K/V (1, H, A, D) become blocks (1, W, H, BLOCK_SIZE, D); fresh rows (1, H, T, D) become `element`."""
    parameters = list(model.get_parameters())
    shape = [1, count_blocks(dims.n_audio_ctx), dims.n_text_head, BLOCK_SIZE, dims.head_dim]
    for i in range(first, len(parameters)):
        blocks = ops.parameter(shape, element)
        by_head = ops.transpose(ops.convert(blocks, ov.Type.f32), np.array([0, 2, 1, 3, 4], np.int64))
        joined = ops.reshape(by_head, np.array([1, dims.n_text_head, -1, dims.head_dim], np.int64), False)
        begin, end, step, axis = (np.array([n], np.int64) for n in (0, dims.n_audio_ctx, 1, 2))
        _replace_output(_find_float_output(parameters[i]), ops.slice(joined, begin, end, step, axis).output(0))
        parameters[i] = blocks
    results = [port.get_node().input_value(0) for port in model.outputs[:n_outputs]]
    fresh = [ops.convert(_unwrap_result(port, "Convert"), element).output(0) for port in model.outputs[n_outputs:]]
    return ov.Model([*results, *fresh], parameters)


def _convert_step(model: ov.Model, kind: str, spec: ProgramSpec) -> ov.Model:
    """K/V inputs become blocks with their tables; the outputs of fresh rows are removed."""
    dims = spec.dims
    n_outputs, kept = graph_signatures.N_STEP_OUTPUTS[kind], model.get_parameters()[: graph_signatures.N_STEP_INPUTS]
    width = kept[0].get_partial_shape()[1].get_length()
    layers = dims.n_text_layer
    caches = model.get_parameters()[graph_signatures.N_STEP_INPUTS :]
    past, cross = caches[: 2 * layers], caches[2 * layers :]
    fresh = [_unwrap_result(port, "Convert") for port in model.outputs[n_outputs:]]

    positions = ops.reshape(kept[1], np.array([-1], np.int64), False)
    cross_past = ops.parameter([-1], np.int32)
    self_rows = _PagedSequences(positions, count_blocks(spec.text_context), spec.text_context)
    windows = _PagedSequences(cross_past, count_blocks(dims.n_audio_ctx), count_blocks(dims.n_audio_ctx) * BLOCK_SIZE)
    flat = np.array([-1, dims.n_text_state], np.int64)
    beams_flat = np.array([-1, width * dims.n_text_state], np.int64)  # beams are queries of the same window

    last_rows, self_caches, cross_caches = [], [], []
    for layer in range(layers):
        k, v = past[2 * layer : 2 * layer + 2]
        pair = [_cache_parameter(f"key_cache.{2 * layer}"), _cache_parameter(f"value_cache.{2 * layer}")]
        end = _find_consumer(_find_consumer(_find_float_output(v), "MatMul"), "Add")  # of past and fresh
        rows = [
            ops.reshape(x, flat, False)
            for x in (_find_query_input(_find_float_output(k)), *fresh[2 * layer : 2 * layer + 2])
        ]
        _replace_output(end.output(0), _reshape_like(end, self_rows.attend(rows, pair, dims)))
        self_caches += pair

        k, v = cross[2 * layer : 2 * layer + 2]
        pair = [_cache_parameter(f"key_cache.{2 * layer + 1}"), _cache_parameter(f"value_cache.{2 * layer + 1}")]
        last = [ops.parameter([-1, dims.n_text_state], np.float32) for _ in pair]
        end = _find_consumer(_find_float_output(v), "MatMul")
        query = ops.reshape(_find_query_input(_find_float_output(k)), beams_flat, False)  # of (S, H, B, D)
        _replace_output(end.output(0), _reshape_like(end, windows.attend([query, *last], pair, dims)))
        last_rows += last
        cross_caches += pair
    results = [port.get_node().input_value(0) for port in model.outputs[:n_outputs]]
    indices = [self_rows.blocks, windows.blocks, cross_past]
    return ov.Model(results, [*kept, *indices, *last_rows, *self_caches, *cross_caches])


class _PagedSequences:
    """Sequences of one fresh token each after a past of `past` (count,) positions, in `blocks` blocks each.

    `max_length` is the largest number of positions, past and fresh.
    """

    def __init__(self, past: ov.Node, blocks: int, max_length: int) -> None:
        self._past, self._max_length = past, max_length
        self.blocks = ops.parameter([-1], np.int32)
        count = ops.squeeze(ops.shape_of(past, "i32"), ops.constant(np.int32(0)))
        one = ops.constant(np.int32(1))
        self._sequence_begins = ops.range(ops.constant(np.int32(0)), ops.add(count, one), one, "i32")
        self._block_begins = ops.multiply(self._sequence_begins, ops.constant(np.int32(blocks)))
        self._score_windows = ops.multiply(past, ops.constant(np.int32(0)))

    def attend(self, rows: list[ov.Node], caches: list[ov.Node], dims: WhisperDims) -> ov.Node:
        """Attention over caches and fresh rows: (scaled) queries, fresh keys, fresh values, each (count, ...)."""
        none = ops.constant(np.zeros(0, np.int32))
        no_floats = ops.constant(np.zeros(0, np.float32))
        zero = ops.constant(np.int32(0))
        inputs = [
            *rows,
            *caches,
            self._past,
            self._sequence_begins,
            self.blocks,
            self._block_begins,
            ops.constant(np.float32(1)),  # scale
            zero,  # sliding window
            no_floats,  # alibi
            ops.constant(np.int32(self._max_length)),
            self._score_windows,  # of score aggregation, one per sequence
            *(none, none, no_floats),  # rotation
            *(no_floats, zero, zero),  # sparse attention
            no_floats,  # sinks
            *(zero, none, none, none),  # eviction
            none,  # token types
            *(ops.constant(np.zeros(0, np.uint8)), none),  # biases between queries
        ]
        attention = PagedAttention([node.output(0) for node in inputs])
        rt_info = attention.get_rt_info()
        for part in "kv":
            rt_info[f"num_{part}_heads"], rt_info[f"{part}_head_size"] = dims.n_text_head, dims.head_dim
        return attention


def _cache_parameter(name: str) -> ov.Node:
    """A parameter whose type and shape the plugin sets, by KV_CACHE_PRECISION."""
    parameter = ops.parameter(ov.PartialShape.dynamic(4), ov.Type.dynamic)
    parameter.set_friendly_name(name)
    parameter.output(0).get_tensor().set_names({name})
    return parameter


def _reshape_like(result: ov.Node, attention: ov.Node) -> ov.Output:
    """Attention's output rows in the shape of the `result` that they replace."""
    shape = [-1 if axis.is_dynamic else axis.get_length() for axis in result.output(0).get_partial_shape()]
    return ops.reshape(attention.output(0), np.array(shape, np.int64), False).output(0)


def _find_float_output(cache: ov.Node) -> ov.Output:
    """The cache parameter's value after its conversion to float32, if it has one."""
    converted = [reader for reader in _find_consumers(cache) if reader.get_type_name() == "Convert"]
    return converted[0].output(0) if converted else cache.output(0)


def _find_consumers(node: ov.Node) -> list[ov.Node]:
    return [port.get_node() for port in node.output(0).get_target_inputs()]


def _find_consumer(source: ov.Output | ov.Node, node_type: str) -> ov.Node:
    """The only node of this type that reads `source`."""
    node = source.get_node() if isinstance(source, ov.Output) else source
    found = [reader for reader in _find_consumers(node) if reader.get_type_name() == node_type]
    if len(found) != 1:
        raise RuntimeError(f"{node.get_friendly_name()} has {len(found)} readers of type {node_type}")
    return found[0]


def _find_query_input(keys: ov.Output) -> ov.Output:
    """The queries that are multiplied with these keys, (..., rows, D)."""
    product = _find_consumer(keys, "MatMul")
    queries = product.input_value(0)
    if not product.get_attributes()["transpose_a"]:
        return queries
    rank = len(queries.get_partial_shape())
    order = np.array([*range(rank - 2), rank - 1, rank - 2], np.int64)
    return ops.transpose(queries, order).output(0)


def _unwrap_result(port: ov.Output, *skipped_types: str) -> ov.Output:
    """A result's value before nodes of `skipped_types`, which are skipped in this order where they occur."""
    value = port.get_node().input_value(0)
    for kind in skipped_types:
        if value.get_node().get_type_name() == kind:
            value = value.get_node().input_value(0)
    return value


def _replace_output(old: ov.Output, new: ov.Output) -> None:
    for reader in old.get_target_inputs():
        reader.replace_source_output(new)
