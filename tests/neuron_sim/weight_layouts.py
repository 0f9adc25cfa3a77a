"""Weight layouts: what neuronx-cc, its tool hlo-opt and the runtime do for NxD's priority model.

The compiler of the priority graph returns a stub beside the NEFF, in which each weight that should lie otherwise passes
through a computation: a reshape, a transpose and a reshape back. NxD puts these computations into the other graphs,
hlo-opt makes them take the changed weights, and a graph of NxD's changes the weights at load. From NxD's uses of all
that (trace/hlo_utils.py). Assumed: which weights, here every matrix; and that weights of which the priority graph knows
nothing, the encoder's, are loaded as they are. NxDI's Mllama depends on that: its vision weights belong to the prompt's
graph alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.neuron_sim.protos import HLO_PB2, HloModuleProto, entry_computation

# NxD's names
CHANGEABLE, CHANGED, COMPUTATIONS = (
    "transposable_weight_idx",
    "require_transpose_weight_idx",
    "require_transpose_custom_call",
)
FIRST_ID = 1_000_000  # above all ids of a graph


def suggest_layouts(module: Any) -> Any:
    """The stub of a graph whose weights are marked as changeable; None when all lie as they should."""
    marked = module.frontend_attributes.map[CHANGEABLE]
    numbers = {int(number) for number in marked.split(",") if number}
    entry = entry_computation(module)
    matrices = [one for one in parameters(entry) if one.parameter_number in numbers and len(one.shape.dimensions) == 2]
    if not matrices:
        return None
    stub = HloModuleProto()
    stub.CopyFrom(module)
    stub.ClearField("computations")
    stub.ClearField("input_output_alias")
    body = HLO_PB2["HloComputationProto"](name=entry.name, id=entry.id, program_shape=entry.program_shape)
    body.instructions.extend(parameters(entry))
    operands = {one.id: one.id for one in body.instructions}
    for i, weight in enumerate(matrices):
        computation = make_computation(weight, FIRST_ID + 10 * i)
        stub.computations.append(computation)
        call = body.instructions.add(name=f"laid_out.{i}", opcode="call", id=FIRST_ID + 10 * i + 9, shape=weight.shape)
        call.operand_ids.append(weight.id)
        call.called_computation_ids.append(computation.id)
        call.frontend_attributes.map[CHANGEABLE] = str(weight.parameter_number)
        operands[weight.id] = call.id
    root = body.instructions.add(name="neff", opcode="custom-call", id=FIRST_ID - 1, custom_call_target="AwsNeuronNeff")
    root.shape.CopyFrom(module.host_program_shape.result)
    root.operand_ids.extend(operands.values())
    body.root_id = root.id
    stub.computations.append(body)
    return stub


def make_computation(weight: Any, first_id: int) -> Any:
    """(m, n) -> the same shape, the matrix cut in two along m and each part transposed."""
    rows, columns = weight.shape.dimensions
    parts = 2 - rows % 2
    cut = (parts, rows // parts, columns)
    computation = HLO_PB2["HloComputationProto"](name=f"layout.{first_id}", id=first_id)
    taken = computation.instructions.add(
        name=f"weight.{first_id}", opcode="parameter", id=first_id + 1, shape=weight.shape
    )
    computation.program_shape.parameters.append(weight.shape)
    computation.program_shape.parameter_names.append("weight")
    computation.program_shape.result.CopyFrom(weight.shape)
    for instruction in lay_out(taken, cut, (0, 2, 1), (rows, columns), first_id + 2):
        computation.instructions.append(instruction)
    computation.root_id = first_id + 4
    return computation


def lay_out(
    source: Any, shape: Sequence[int], order: Sequence[int], result: Sequence[int], first_id: int
) -> Iterator[Any]:
    """Instructions: `source` as `shape`, its dimensions in another order, as `result`; the last has id first_id + 2."""
    transposed = [shape[i] for i in order]
    steps = (("reshape", shape, ()), ("transpose", transposed, order), ("reshape", result, ()))
    operand = source.id
    for i, (opcode, dimensions, of_transpose) in enumerate(steps):
        made = HLO_PB2["HloInstructionProto"](name=f"{opcode}.{first_id + i}", opcode=opcode, id=first_id + i)
        made.shape.element_type = source.shape.element_type
        made.shape.dimensions.extend(dimensions)
        made.shape.is_dynamic_dimension.extend([False] * len(dimensions))
        made.shape.layout.minor_to_major.extend(reversed(range(len(dimensions))))
        made.dimensions.extend(of_transpose)
        made.operand_ids.append(operand)
        operand = made.id
        yield made


def take_changed_weights(module: Any, computations: Mapping[int, Any]) -> Any:
    """The module that takes, at these parameters, what the computations make of the weights."""
    entry = entry_computation(module)
    first_id = max(one.id for computation in module.computations for one in computation.instructions) + 1
    changed = [one for one in parameters(entry) if one.parameter_number in computations]
    first_ids = {one.id: first_id + 3 * i for i, one in enumerate(changed)}
    rewritten = HLO_PB2["HloComputationProto"]()
    rewritten.CopyFrom(entry)
    del rewritten.instructions[:]
    for instruction in entry.instructions:
        instruction.operand_ids[:] = [
            first_ids[one] + 2 if one in first_ids else one for one in instruction.operand_ids
        ]
        rewritten.instructions.append(instruction)
        if instruction.id in first_ids:
            weight, _, transpose, _ = computations[instruction.parameter_number].instructions
            shape, inverse = transpose.shape.dimensions, np.argsort(transpose.dimensions).tolist()
            made = lay_out(instruction, shape, inverse, weight.shape.dimensions, first_ids[instruction.id])
            rewritten.instructions.extend(made)
    entry.CopyFrom(rewritten)
    return module


def layouts_of_stub(stub: Any) -> dict[int, Any]:
    """Number of a parameter of the priority graph -> the computation that changes it."""
    by_id = {computation.id: computation for computation in stub.computations}
    return {
        int(one.frontend_attributes.map[CHANGEABLE]): by_id[one.called_computation_ids[0]]
        for one in entry_computation(stub).instructions
        if CHANGEABLE in one.frontend_attributes.map
    }


def convert_inputs(module: Any) -> Any:
    """The pass convert-inputs-to-optimal-shape, of a graph into which NxD has put the computations."""
    attributes = module.frontend_attributes.map
    numbers = [int(number) for number in attributes[CHANGED].split(",") if number]
    by_name = {computation.name: computation for computation in module.computations}
    names = [name for name in attributes[COMPUTATIONS].split(",") if name]
    return take_changed_weights(module, dict(zip(numbers, (by_name[name] for name in names), strict=True)))


def get_computation(module: Any, number: int) -> Any:
    return next(computation for computation in module.computations if computation.id == number)


def get_root(computation: Any) -> Any:
    return next(one for one in computation.instructions if one.id == computation.root_id)


def parameters(computation: Any) -> list[Any]:
    return [instruction for instruction in computation.instructions if instruction.opcode == "parameter"]


def main(args: Sequence[str]) -> None:
    options = dict(zip(args[::2], args[1::2], strict=True))
    assert options["--passes"] == "convert-inputs-to-optimal-shape", options
    module = convert_inputs(HloModuleProto.FromString(Path(options["--input"]).read_bytes()))
    Path(options["--output"]).write_bytes(module.SerializeToString())


if __name__ == "__main__":
    main(sys.argv[1:])
