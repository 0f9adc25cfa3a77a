"""Which operations a traced graph consists of: what compilers and engines of a NeuronCore have trouble with.

All of it is read off the HLO, after the computations that it calls are put in their place.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.neuron_sim.protos import PrimitiveType, entry_computation

PARTITIONS = 128  # of an engine
WIDE_TYPES = ("F64", "S64", "U64", "C64", "C128")
SIXTEEN_BIT = ("F16", "BF16")
NO_WORK = ("parameter", "constant", "tuple", "get-tuple-element", "reshape", "call")  # bookkeeping
MOVES = (*NO_WORK, "transpose", "slice", "concatenate", "gather", "scatter", "broadcast", "iota", "pad", "all-gather")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """A gather or scatter: how many indices it takes, and the elements that each moves."""

    opcode: str
    indices: int
    elements: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """One graph. `instructions` are those that do something: neither parameters, constants, tuples nor reshapes.

    `wide` are opcodes with results of 64 bit, `float32_products` dots with a float32 operand, `infinities` constants
    that are selected or added, `exponentials` the shapes of exponentials (of softmaxes and log-softmaxes), `lookups`
    gathers and scatters, `elementwise` the number of elements of each instruction that computes every one of them, and
    `narrow_vocab_passes` such instructions whose rows are of half a vocabulary or more, in fewer rows than half of an
    engine's partitions.
    """

    instructions: int
    opcodes: Counter[str]
    wide: tuple[str, ...]
    float32_products: int
    infinities: int
    exponentials: tuple[tuple[int, ...], ...]
    lookups: tuple[Lookup, ...]
    elementwise: tuple[int, ...]
    narrow_vocab_passes: int

    @property
    def most_indices(self) -> int:
        return max((one.indices for one in self.lookups), default=0)


def inline_calls(module: Any) -> Any:
    """The entry computation with the instructions of called computations in the place of the calls."""
    called = {computation.id: computation for computation in module.computations}
    entry = type(entry_computation(module))()
    entry.CopyFrom(entry_computation(module))
    fresh = max(instruction.id for computation in module.computations for instruction in computation.instructions)
    kept: list[Any] = []
    new_id: dict[int, int] = {}
    for instruction in entry.instructions:
        instruction.operand_ids[:] = [new_id.get(operand, operand) for operand in instruction.operand_ids]
        if instruction.opcode != "call":
            kept.append(instruction)
            continue
        body = called[instruction.called_computation_ids[0]]
        place: dict[int, int] = {}
        for inner in body.instructions:
            if inner.opcode == "parameter":
                place[inner.id] = instruction.operand_ids[inner.parameter_number]
                continue
            fresh += 1
            copy = type(inner)()
            copy.CopyFrom(inner)
            copy.id, place[inner.id] = fresh, fresh
            copy.operand_ids[:] = [place[operand] for operand in inner.operand_ids]
            kept.append(copy)
        new_id[instruction.id] = place[body.root_id]
    entry.root_id = new_id.get(entry.root_id, entry.root_id)
    kept = [type(one).FromString(one.SerializeToString()) for one in kept]
    del entry.instructions[:]
    entry.instructions.extend(kept)
    return entry


def operations_of(module: Any, vocab: int) -> Operations:
    entry = inline_calls(module)
    by_id = {instruction.id: instruction for instruction in entry.instructions}
    active = [one for one in entry.instructions if one.opcode not in NO_WORK]
    computed = [one for one in active if one.opcode not in (*MOVES, "dot", "convolution")]
    return Operations(
        instructions=len(active),
        opcodes=Counter(one.opcode for computation in module.computations for one in computation.instructions),
        wide=tuple(sorted(_wide(module))),
        float32_products=sum(_has_float32_operand(one, by_id) for one in active if one.opcode == "dot"),
        infinities=sum(_is_infinite(one) for one in entry.instructions if _is_added_or_selected(one, entry)),
        exponentials=tuple(tuple(one.shape.dimensions) for one in active if one.opcode == "exponential"),
        lookups=tuple(_lookup(one, by_id) for one in active if one.opcode in ("gather", "scatter")),
        elementwise=tuple(sorted((_count(one) for one in computed), reverse=True)),
        narrow_vocab_passes=sum(
            list(one.shape.dimensions[-1:]) >= [vocab // 2] and math.prod(one.shape.dimensions[:-1]) < PARTITIONS // 2
            for one in computed
        ),
    )


def _count(instruction: Any) -> int:
    """Elements of the result: of the largest of a tuple."""
    shapes: Sequence[Any] = instruction.shape.tuple_shapes or [instruction.shape]
    return max(int(math.prod(shape.dimensions)) for shape in shapes)


def _type(instruction: Any) -> str:
    return str(PrimitiveType.Name(instruction.shape.element_type))


def _wide(module: Any) -> Iterator[str]:
    for computation in module.computations:
        for one in computation.instructions:
            types = {PrimitiveType.Name(shape.element_type) for shape in (one.shape, *one.shape.tuple_shapes)}
            if types & set(WIDE_TYPES):
                yield f"{one.opcode} {list(one.shape.dimensions)}"


def _has_float32_operand(dot: Any, by_id: dict[int, Any]) -> bool:
    return any(_type(by_id[operand]) == "F32" for operand in dot.operand_ids)


def _is_infinite(instruction: Any) -> bool:
    if instruction.opcode != "constant":
        return False
    return any(math.isinf(number) for number in (*instruction.literal.f32s, *instruction.literal.f64s)) or (
        _type(instruction) in SIXTEEN_BIT and _sixteen_bit_infinity(instruction)
    )


def _sixteen_bit_infinity(constant: Any) -> bool:
    bits = constant.literal.bf16s or constant.literal.f16s
    exponent = 0x7F80 if _type(constant) == "BF16" else 0x7C00
    words = [int.from_bytes(bits[i : i + 2], "little") for i in range(0, len(bits), 2)]
    return any(word & 0x7FFF == exponent for word in words)


def _is_added_or_selected(constant: Any, entry: Any) -> bool:
    """Whether a constant reaches anything but the initial value of a reduction."""
    return any(
        constant.id in one.operand_ids and not (one.opcode == "reduce" and one.operand_ids[0] != constant.id)
        for one in entry.instructions
    )


def _lookup(instruction: Any, by_id: dict[int, Any]) -> Lookup:
    indices = by_id[instruction.operand_ids[1]].shape.dimensions
    numbers = instruction.gather_dimension_numbers if instruction.opcode == "gather" else None
    axis = (numbers or instruction.scatter_dimension_numbers).index_vector_dim
    count = math.prod(size for i, size in enumerate(indices) if i != axis)
    moved = instruction if instruction.opcode == "gather" else by_id[instruction.operand_ids[2]]
    return Lookup(opcode=instruction.opcode, indices=count, elements=_count(moved) // max(1, count))
