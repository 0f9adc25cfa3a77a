"""The tracer: stands for torch_neuronx.xla_impl.trace and torch_neuronx.xla_impl.structure.

It lowers a module with stock torch_xla on placeholders (no weight is read, so modules may lie on the meta device) and
describes the graph's parameters and results in a metaneff. Written from NxD's calls and torch_xla's functions. The
order of parameters (user inputs, then weights and states as the module lists them, then constants) is ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch_xla
from torch import Tensor, nn
from torch_xla.core import xla_builder

from tests.neuron_sim import protos
from tests.neuron_sim.protos import HLO_PB2, HloModuleProto, MetaNeff, MetaTensor, PrimitiveType, entry_computation

get_torch_dtype = protos.get_torch_dtype  # which torch_neuronx has here


class Flattener(nn.Module):
    """A call's inputs -> those which the graph uses; the others, `exclude`, are never sent to the device."""

    def __init__(self, layout: Sequence[int], exclude: Sequence[int] | None = None) -> None:
        super().__init__()
        self.layout = layout
        self.exclude = exclude

    # TorchScript compiles these two: their types are of its language
    def forward(self, inputs):  # type: ignore[no-untyped-def]
        return [tensor for i, tensor in enumerate(inputs) if i not in (self.exclude or ())]


class Packer(nn.Module):
    """The graph's results without the aliased ones -> what the traced function returned: a tensor or a tuple."""

    def __init__(self, is_tuple: bool) -> None:
        super().__init__()
        self.is_tuple = is_tuple

    def forward(self, results):  # type: ignore[no-untyped-def]
        return tuple(results) if self.is_tuple else results[0]


@dataclass
class HloArtifacts:
    """What NxD wants of a trace; it changes some of it."""

    hlo_module: Any
    flattener: Flattener
    packer: Packer
    metaneff: Any
    constant_parameter_tensors: dict[int, Tensor]
    weight_name_to_idx: dict[str, int]
    weights: None = None


@dataclass
class NeffArtifacts:
    neff_filename: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of the graph: `number` as torch_xla lowered it, `kind` a MetaTensor.Type, `key` of a checkpoint."""

    number: int
    kind: int
    key: str = ""
    constant: Tensor | None = None


def generate_hlo(
    func: nn.Module,
    example_inputs: Tensor | Sequence[Tensor],
    input_output_aliases: Mapping[Tensor, int] | None = None,
    **_ignored: object,
) -> HloArtifacts:
    """Trace a module. `input_output_aliases`: its parameter -> the index of the result which is its new value."""
    if isinstance(example_inputs, Tensor):
        example_inputs = [example_inputs]
    inputs = [make_placeholder(tensor) for tensor in example_inputs]
    tensors = dict(func.named_parameters(remove_duplicate=False)) | dict(func.named_buffers(remove_duplicate=False))
    by_identity = {id(tensor): make_placeholder(tensor) for tensor in tensors.values()}  # tied tensors stay tied
    values = {name: by_identity[id(tensor)] for name, tensor in tensors.items()}
    answer = run(func, values, inputs)
    results = [answer] if isinstance(answer, Tensor) else list(answer)
    name_of = {id(tensor): name for name, tensor in reversed(tensors.items())}
    state_of_result = {index: name_of[id(tensor)] for tensor, index in (input_output_aliases or {}).items()}

    context = torch_xla._XLAC.lowering.LoweringContext()
    context.set_name_string("SyncTensorsGraph")
    context.build(results)
    module = HloModuleProto.FromString(context.hlo())
    parameters, excluded = classify_parameters(module, context, inputs, values, set(state_of_result.values()))
    renumber_parameters(module, parameters)
    metaneff = make_metaneff(module, parameters, state_of_result)
    numbered = list(enumerate(parameters))
    plain_results = len(metaneff.output_tensors) - len(metaneff.output_aliases_to)
    return HloArtifacts(
        hlo_module=module,
        flattener=Flattener(tuple(range(len(inputs))), excluded or None),
        packer=Packer(plain_results > 1 and not isinstance(answer, Tensor)),
        metaneff=metaneff,
        constant_parameter_tensors={i: one.constant for i, one in numbered if one.constant is not None},
        weight_name_to_idx={one.key: i for i, one in numbered if one.kind == MetaTensor.INPUT_WEIGHT},
    )


def make_placeholder(tensor: Tensor) -> Tensor:
    made: Tensor = xla_builder.create_placeholder_tensor(tuple(tensor.shape), tensor.dtype)
    return made


def run(func: nn.Module, values: dict[str, Tensor], inputs: Iterable[Tensor]) -> Any:
    """`func` with `values` for its parameters and buffers."""
    device = str(torch_xla.device())
    # torch_xla chains collectives by a token of the process: left alone, this graph would contain the last one.
    torch_xla._XLAC._set_all_reduce_token(device, None)
    try:
        with torch.no_grad():
            return torch.func.functional_call(func, values, tuple(inputs))
    finally:
        torch_xla._XLAC._set_all_reduce_token(device, None)


def classify_parameters(
    module: Any, context: Any, inputs: Sequence[Tensor], values: Mapping[str, Tensor], states: set[str]
) -> tuple[list[Parameter], list[int]]:
    """The graph's parameters in the order the runtime gets them, and the indexes of inputs that it does not use."""
    parameters, excluded = [], []
    for i, tensor in enumerate(inputs):
        number = context.tensor_parameter_id(tensor)
        if number < 0:
            excluded.append(i)
        else:
            parameters.append(Parameter(number=number, kind=MetaTensor.USER_INPUT))
    known = {parameter.number for parameter in parameters}
    for name, tensor in values.items():
        number = context.tensor_parameter_id(tensor)
        if number >= 0 and number not in known:
            known.add(number)
            kind = MetaTensor.INPUT_STATE if name in states else MetaTensor.INPUT_WEIGHT
            parameters.append(Parameter(number=number, kind=kind, key=name))
    for instruction in entry_computation(module).instructions:
        number = instruction.parameter_number
        if instruction.opcode == "parameter" and number not in known:
            constant = context.device_parameter_id_tensor_mapping()[number].cpu()
            parameters.append(Parameter(number=number, kind=MetaTensor.CONSTANT, constant=constant))
    return parameters, excluded


def renumber_parameters(module: Any, parameters: Sequence[Parameter]) -> None:
    entry = entry_computation(module)
    new_number = {parameter.number: i for i, parameter in enumerate(parameters)}
    for instruction in entry.instructions:
        if instruction.opcode == "parameter":
            instruction.parameter_number = new_number[instruction.parameter_number]
    for shape in (entry.program_shape, module.host_program_shape):
        old = list(shape.parameters)
        del shape.parameters[:]
        shape.parameters.extend(old[parameter.number] for parameter in parameters)
        shape.parameter_names[:] = [f"p{i}" for i in range(len(parameters))]


def make_metaneff(module: Any, parameters: Sequence[Parameter], state_of_result: Mapping[int, str]) -> Any:
    """The metaneff of the graph; results that are a state's new value become aliases, in module too.

    A state which the graph does not read is no parameter of it; its result is returned like any other.
    """
    metaneff = MetaNeff()
    state_number = {}
    for i, parameter in enumerate(parameters):
        shape = module.host_program_shape.parameters[i]
        tensor = metaneff.input_tensors.add(name=f"input{i}".encode(), type=parameter.kind)
        tensor.shape.extend(shape.dimensions)
        tensor.data_type = shape.element_type
        tensor.checkpoint_key = parameter.key.encode()
        if parameter.constant is not None:
            tensor.constant_data = parameter.constant.reshape(-1).view(torch.uint8).numpy().tobytes()
        if parameter.kind == MetaTensor.INPUT_STATE:
            state_number[parameter.key] = i
    result = module.host_program_shape.result
    shapes = result.tuple_shapes if result.element_type == PrimitiveType.TUPLE else [result]
    for i, shape in enumerate(shapes):
        metaneff.output_tensors.add(name=f"output{i}".encode(), shape=shape.dimensions, data_type=shape.element_type)
        number = state_number.get(state_of_result.get(i, ""))
        if number is not None:
            metaneff.output_aliases_to[i] = number
            kind = HLO_PB2["Kind"].MUST_ALIAS
            module.input_output_alias.entries.add(output_shape_index=[i], parameter_number=number, kind=kind)
    return metaneff
