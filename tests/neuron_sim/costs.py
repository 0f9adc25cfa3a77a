"""What a traced graph costs, read off its HLO and metaneff: arithmetic, weights, states, collectives, host traffic.

All figures are of one rank and one call, and none says anything of time. They are what a design can be held to before
there is a device, and they find surprises: a collective in float32, a replicated table, an unused input.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from tests.neuron_sim.operations import Operations, inline_calls, operations_of
from tests.neuron_sim.protos import MetaTensor, PrimitiveType, get_torch_dtype
from tests.neuron_sim.tracer import generate_hlo

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
LOOKUPS = ("gather", "slice", "dynamic-slice")  # read of their first operand only their result


@dataclass(frozen=True, slots=True, kw_only=True)
class Collective:
    """All of a kind in a graph: `dtype` of what is sent, XLA's name such as F32; bytes of all results together."""

    opcode: str
    dtype: str
    count: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HloBudget:
    """One call of a graph on one rank.

    `flops` are two per multiply-add of dots and convolutions. `weight_bytes` are those of the parameters that the graph
    reads, of a table only the rows that are looked up; `held_weight_bytes` of all that the module has. States are read
    and written in the rows that the graph looks up and scatters. `excluded_inputs` are given but not read.
    """

    flops: int
    weight_bytes: int
    held_weight_bytes: int
    state_bytes: int
    state_read_bytes: int
    state_write_bytes: int
    collectives: tuple[Collective, ...]
    from_host_bytes: int
    to_host_bytes: int
    excluded_inputs: tuple[int, ...]
    operations: Operations

    @property
    def collective_bytes(self) -> int:
        return sum(one.bytes for one in self.collectives)

    def count(self, opcode: str) -> int:
        return sum(one.count for one in self.collectives if one.opcode == opcode)


def hlo_budget(
    module: nn.Module, example_inputs: Sequence[Tensor], vocab: int, aliases: Mapping[Tensor, int] | None = None
) -> HloBudget:
    """Trace `module` and add up. `aliases` is what BaseModelInstance.get returns: {state: index of its new value}.

    With parallel layers, call it where NxD's parallel state is that of a trace; the module may lie on the meta device.
    """
    artifacts = generate_hlo(module, example_inputs, aliases)
    metaneff, entry = artifacts.metaneff, inline_calls(artifacts.hlo_module)
    read: Counter[int] = Counter()
    for number, size in parameter_reads(entry):
        read[metaneff.input_tensors[number].type] += size
    whole: Counter[int] = Counter()
    for tensor in metaneff.input_tensors:
        whole[tensor.type] += meta_tensor_bytes(tensor)
    states = {id(tensor) for tensor in aliases or {}}
    held = [tensor for tensor in (*module.parameters(), *module.buffers()) if id(tensor) not in states]
    plain = [tensor for i, tensor in enumerate(metaneff.output_tensors) if i not in metaneff.output_aliases_to]
    return HloBudget(
        flops=dot_and_convolution_flops(artifacts.hlo_module),
        weight_bytes=read[MetaTensor.INPUT_WEIGHT],
        held_weight_bytes=sum(tensor.nbytes for tensor in held),
        state_bytes=whole[MetaTensor.INPUT_STATE],
        state_read_bytes=read[MetaTensor.INPUT_STATE],
        state_write_bytes=sum(result_writes(entry, metaneff.output_aliases_to)),
        collectives=count_collectives(artifacts.hlo_module),
        from_host_bytes=whole[MetaTensor.USER_INPUT],
        to_host_bytes=sum(meta_tensor_bytes(tensor) for tensor in plain),
        excluded_inputs=tuple(artifacts.flattener.exclude or ()),
        operations=operations_of(artifacts.hlo_module, vocab),
    )


def meta_tensor_bytes(tensor: Any) -> int:
    """Size of a MetaTensor."""
    return int(math.prod(tensor.shape)) * get_torch_dtype(tensor.data_type).itemsize


def shape_bytes(shape: Any) -> int:
    """Size of an XLA shape that is no tuple."""
    return int(math.prod(shape.dimensions)) * get_torch_dtype(shape.element_type).itemsize


def parameter_reads(entry: Any) -> Iterator[tuple[int, int]]:
    """(parameter's number, bytes that are read of it): all, unless every use is a lookup, a result, or a scatter into
    a result.
    """
    uses: dict[int, list[tuple[Any, int]]] = defaultdict(list)
    for instruction in entry.instructions:
        for at, operand in enumerate(instruction.operand_ids):
            uses[operand].append((instruction, at))

    def uses_behind_reshapes(instruction: Any) -> Iterator[tuple[Any, int]]:
        for use, at in uses[instruction.id]:
            if use.opcode == "reshape":
                yield from uses_behind_reshapes(use)
            else:
                yield use, at

    def is_result(instruction: Any) -> bool:
        return all(use.id == entry.root_id for use, _ in uses_behind_reshapes(instruction))

    for parameter in entry.instructions:
        if parameter.opcode != "parameter":
            continue
        size, total = shape_bytes(parameter.shape), 0
        for use, at in uses_behind_reshapes(parameter):
            if at == 0 and use.opcode in LOOKUPS:
                total += shape_bytes(use.shape)
            elif use.id != entry.root_id and not (at == 0 and use.opcode == "scatter" and is_result(use)):
                total += size
        yield parameter.parameter_number, min(size, total)


def result_writes(entry: Any, aliases: Mapping[int, int]) -> Iterator[int]:
    """Bytes written of each state that is a result: of a scatter its updates, of a state handed back none."""
    by_id = {instruction.id: instruction for instruction in entry.instructions}
    root = by_id[entry.root_id]
    for index in aliases:
        result = by_id[root.operand_ids[index]]
        while result.opcode == "reshape":
            result = by_id[result.operand_ids[0]]
        if result.opcode == "scatter":
            yield shape_bytes(by_id[result.operand_ids[2]].shape)
        elif result.opcode != "parameter":
            yield shape_bytes(result.shape)


def dot_and_convolution_flops(module: Any) -> int:
    """Two per multiply-add of every dot and convolution; a computation that is called twice counts once."""
    total = 0
    for computation in module.computations:
        shapes = {instruction.id: instruction.shape.dimensions for instruction in computation.instructions}
        for instruction in computation.instructions:
            if instruction.opcode == "dot":
                left = shapes[instruction.operand_ids[0]]
                terms = math.prod(left[axis] for axis in instruction.dot_dimension_numbers.lhs_contracting_dimensions)
            elif instruction.opcode == "convolution":
                kernel = shapes[instruction.operand_ids[1]]
                numbers = instruction.convolution_dimension_numbers
                axes = (numbers.kernel_input_feature_dimension, *numbers.kernel_spatial_dimensions)
                terms = math.prod(kernel[axis] for axis in axes)
            else:
                continue
            total += 2 * math.prod(instruction.shape.dimensions) * terms
    return total


def count_collectives(module: Any) -> tuple[Collective, ...]:
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    for computation in module.computations:
        for instruction in computation.instructions:
            if instruction.opcode in COLLECTIVES:
                # torch_xla's results may be tuples: the tensor, then the token which orders collectives
                shape = instruction.shape.tuple_shapes[0] if instruction.shape.tuple_shapes else instruction.shape
                found[instruction.opcode, PrimitiveType.Name(shape.element_type)].append(shape_bytes(shape))
    return tuple(
        Collective(opcode=opcode, dtype=dtype, count=len(sizes), bytes=sum(sizes))
        for (opcode, dtype), sizes in sorted(found.items())
    )
