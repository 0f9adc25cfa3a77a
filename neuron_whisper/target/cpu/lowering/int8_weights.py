"""Decoder matrices of 8 bit, with what keeps their text close to that of 16 bit.

Matrices have a scale for each group of GROUP_SIZE inputs of an output row, which halves the error of one for each row
and costs nothing. The vocabulary, whose errors change most texts, has a scale for each row and a second matrix of
8 bit, the remainder: both together hold 16 bit. The product reads the first alone; the logits of the best tokens get
the remainder's share. The embedding reads both.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops

from neuron_whisper.target.cpu.lowering.constants import PLAIN, Constants, Packing
from neuron_whisper.target.cpu.lowering.weights import find_matrices
from neuron_whisper.target.interfaces import MASKED_LOGIT

GROUP_SIZE = 128
N_CORRECTED = 16  # best tokens whose logits are computed again; an error of 8 bit changes places among few
N_SPARE = 5  # beyond those that a step returns
LARGEST = 127
BLOCK_ELEMENTS = 1 << 16  # packed at once: what is computed of them stays in the processor's cache
REMAINDER_STEPS = 256  # in a step of the values; a power of two, so that scales of remainders are as exact as theirs


def compress_int8(model: ov.Model, n_vocab: int, choices: int = 1, constants: Constants = PLAIN) -> None:
    """Replace the decoder's float matrices by int8 and scales, in place. A step returns the `choices` best tokens.

    A matrix product reads `Multiply(Convert(int8), scale)`, which the CPU plugin runs without creating the float
    matrix. Positions stay as they are: they are few, and are added to all else.
    """
    vocabularies: dict[Hashable, _Vocabulary] = {}
    for node, port, matrix in find_matrices(model):
        is_lookup = node.get_type_name() == "Gather"
        if matrix.get_output_shape(0)[0] == n_vocab:
            identity = constants.identify(matrix)
            if identity not in vocabularies:
                vocabularies[identity] = _Vocabulary(matrix, constants)
            if is_lookup:
                _replace_embedding(node, vocabularies[identity])
            else:
                _replace_projection(node, vocabularies[identity], max(N_CORRECTED, choices + N_SPARE))
        elif not is_lookup:
            node.input(port).replace_source_output(_compress_groups(matrix, constants).output(0))


def quantize(values: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """float (..., in) -> int8 (..., in) and float32 scales (..., 1), symmetric; where all is zero the scale is 1.

    The plugin may hold scales as bfloat16, so they are numbers that it holds exactly, next above the smallest possible.
    """
    quantized, scales = np.empty(values.shape, np.int8), np.empty((*values.shape[:-1], 1), np.float32)
    rows_at_once = max(1, BLOCK_ELEMENTS // max(values[:1].size, 1))
    with np.errstate(invalid="ignore"):  # of weights that are not finite, which the golden tokens find and name
        for start in range(0, len(values), rows_at_once):
            block = slice(start, start + rows_at_once)
            scales[block] = _find_scales(values[block])
            steps = values[block] / scales[block]
            quantized[block] = np.rint(steps, out=steps)
    return quantized, scales


def _find_scales(values: NDArray[np.float32]) -> NDArray[np.float32]:
    peak = np.maximum(values.max(axis=-1, keepdims=True), -values.min(axis=-1, keepdims=True))
    steps = np.where(peak > 0, np.maximum(peak / LARGEST, np.finfo(np.float32).tiny), 1)
    bits = steps.astype(np.float32).view(np.uint32)
    return ((bits + 0xFFFF) & np.uint32(0xFFFF0000)).view(np.float32)


def _quantize_vocabulary(matrix: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
    """int8 values and remainders (V, state), float32 scales (V, 1) of both."""
    values, scales = quantize(matrix)
    remainders = np.empty_like(values)
    rows_at_once = max(1, BLOCK_ELEMENTS // max(matrix[:1].size, 1))
    with np.errstate(invalid="ignore"):
        for start in range(0, len(matrix), rows_at_once):
            block = slice(start, start + rows_at_once)
            rest = matrix[block] / scales[block]
            rest -= values[block]
            rest *= REMAINDER_STEPS
            np.rint(rest, out=rest)
            remainders[block] = np.clip(rest, -LARGEST, LARGEST, out=rest)
    return values, remainders, scales, scales / np.float32(REMAINDER_STEPS)


def _compress_groups(matrix: ov.Node, constants: Constants) -> ov.Node:
    rows, width = matrix.get_output_shape(0)
    if width % GROUP_SIZE or width == GROUP_SIZE:
        results = [([rows, width], ov.Type.i8), ([rows, 1], ov.Type.f32)]
        return _scaled(*constants.pack(matrix, Packing(name="int8", results=results, pack=quantize)))
    groups = width // GROUP_SIZE
    packing = Packing(
        name="int8",
        results=[([rows, groups, GROUP_SIZE], ov.Type.i8), ([rows, groups, 1], ov.Type.f32)],
        pack=lambda it: quantize(it.reshape(rows, groups, GROUP_SIZE)),
    )
    grouped = _scaled(*constants.pack(matrix, packing))
    return ops.reshape(grouped, ops.constant(np.array([rows, width], np.int64)), special_zero=False)


def _scaled(values: ov.Node, scales: ov.Node) -> ov.Node:
    return ops.multiply(ops.convert(values, "f32"), scales)


class _Vocabulary:
    """The token embedding as constants: int8 values and remainders (V, state), scales (V, 1) of both."""

    def __init__(self, matrix: ov.Node, constants: Constants) -> None:
        self.rows, width = matrix.get_output_shape(0)
        integers, scales = ([self.rows, width], ov.Type.i8), ([self.rows, 1], ov.Type.f32)
        packing = Packing(
            name="int8 with remainders", results=[integers, integers, scales, scales], pack=_quantize_vocabulary
        )
        self.values, self.remainders, self.scales, self.remainder_scales = constants.pack(matrix, packing)

    def rows_of(self, ids: ov.Node) -> ov.Node:
        """The rows `ids` of 16 bit, (..., state) float32."""
        axis = _int32(0)
        values = _scaled(ops.gather(self.values, ids, axis), ops.gather(self.scales, ids, axis))
        remainders = _scaled(ops.gather(self.remainders, ids, axis), ops.gather(self.remainder_scales, ids, axis))
        return ops.add(values, remainders)


def _replace_embedding(node: ov.Node, vocabulary: _Vocabulary) -> None:
    rows = vocabulary.rows_of(node.input_value(1))
    for reader in node.output(0).get_target_inputs():
        reader.replace_source_output(rows.output(0))


def _replace_projection(node: ov.Node, vocabulary: _Vocabulary, n_corrected: int) -> None:
    """node: the product of (R, state) with the vocabulary, (R, V)."""
    node.input(1).replace_source_output(_scaled(vocabulary.values, vocabulary.scales).output(0))
    readers = list(node.output(0).get_target_inputs())
    ids = _find_best(node, vocabulary.rows, n_corrected)
    state = ops.unsqueeze(node.input_value(0), _int32(1))  # (R, 1, state)
    # not a matrix product: all behind the last one is float32
    logits = ops.reduce_sum(ops.multiply(vocabulary.rows_of(ids), state), _int32(2), keep_dims=False)
    corrected = ops.scatter_elements_update(node, ids, logits, _int32(1))
    for reader in readers:
        reader.replace_source_output(corrected.output(0))


def _find_best(logits: ov.Node, n_vocab: int, count: int) -> ov.Node:
    """The ids (R, count) int32 of the largest of logits (R, V).

    OpenVINO's TopK over a vocabulary costs more than all matrices of a step. The largest lie in as many blocks of
    sqrt(V) tokens, those with the largest maxima.
    """
    side = math.isqrt(n_vocab - 1) + 1
    count = min(count, side)
    ends = ops.constant(np.array([0, side * side - n_vocab], np.int64))
    padded = ops.pad(
        logits, ops.constant(np.zeros(2, np.int64)), ends, "constant", ops.constant(np.float32(2 * MASKED_LOGIT))
    )
    blocks = ops.reshape(padded, ops.constant(np.array([-1, side, side], np.int64)), special_zero=False)
    best = ops.topk(
        ops.reduce_max(blocks, _int32(2), keep_dims=False), _int32(count), -1, "max", "none", index_element_type="i32"
    )
    block_ids = best.output(1)  # (R, count)
    found = ops.gather(blocks, block_ids, _int32(1), batch_dims=1)  # (R, count, side)
    flat = ops.constant(np.array([-1, count * side], np.int64))
    starts = ops.multiply(ops.unsqueeze(block_ids, _int32(2)), _int32(side))
    tokens = ops.reshape(ops.add(starts, ops.constant(np.arange(side, dtype=np.int32))), flat, special_zero=False)
    chosen = ops.topk(
        ops.reshape(found, flat, special_zero=False), _int32(count), -1, "max", "none", index_element_type="i32"
    )
    return ops.minimum(ops.gather_elements(tokens, chosen.output(1), 1), _int32(n_vocab - 1))


def _int32(value: int) -> ov.Node:
    return ops.constant(value, dtype=np.int32)
