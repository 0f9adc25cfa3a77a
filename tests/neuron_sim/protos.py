"""The messages of HLO and of the metaneff: stands for torch_neuronx.pyhlo and torch_neuronx.proto.

hlo_pb2 and xla_data_pb2 are exact: their descriptors come out of the installed torch_xla (xla_descriptors.py). Of
metaneff_pb2 only the field names are known, from NxD's uses of it; the field numbers are ours, so nothing written
here can be read by the real runtime, nor the other way round.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf import text_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message_factory import GetMessageClass

from tests.neuron_sim import HOME

if TYPE_CHECKING:
    import torch

METANEFF = """
name: "neuron_sim/metaneff.proto" package: "metaneff" syntax: "proto3"
message_type {
  name: "MetaTensor"
  enum_type {
    name: "Type"
    value { name: "USER_INPUT" number: 0 }
    value { name: "INPUT_WEIGHT" number: 1 }
    value { name: "INPUT_STATE" number: 2 }
    value { name: "CONSTANT" number: 3 }
  }
  field { name: "name" number: 1 type: TYPE_BYTES label: LABEL_OPTIONAL }
  field { name: "shape" number: 2 type: TYPE_INT64 label: LABEL_REPEATED }
  field { name: "data_type" number: 3 type: TYPE_INT32 label: LABEL_OPTIONAL }
  field { name: "type" number: 4 type: TYPE_ENUM label: LABEL_OPTIONAL type_name: ".metaneff.MetaTensor.Type" }
  field { name: "checkpoint_key" number: 5 type: TYPE_BYTES label: LABEL_OPTIONAL }
  field { name: "user_input_key" number: 6 type: TYPE_BYTES label: LABEL_OPTIONAL }
  field { name: "constant_data" number: 7 type: TYPE_BYTES label: LABEL_OPTIONAL }
}
message_type {
  name: "MetaNeff"
  nested_type {
    name: "OutputAliasesToEntry"
    options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_INT64 label: LABEL_OPTIONAL }
    field { name: "value" number: 2 type: TYPE_INT64 label: LABEL_OPTIONAL }
  }
  field { name: "input_tensors" number: 1 type: TYPE_MESSAGE label: LABEL_REPEATED
          type_name: ".metaneff.MetaTensor" }
  field { name: "output_tensors" number: 2 type: TYPE_MESSAGE label: LABEL_REPEATED
          type_name: ".metaneff.MetaTensor" }
  field { name: "output_aliases_to" number: 3 type: TYPE_MESSAGE label: LABEL_REPEATED
          type_name: ".metaneff.MetaNeff.OutputAliasesToEntry" }
  field { name: "serialized_graph_def" number: 4 type: TYPE_BYTES label: LABEL_OPTIONAL }
}
"""


def _load_pool() -> DescriptorPool:
    files = FileDescriptorSet.FromString((HOME / "xla_descriptors.binpb").read_bytes())
    files.file.append(text_format.Parse(METANEFF, FileDescriptorProto()))
    pool = DescriptorPool()
    for file in files.file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


_POOL = _load_pool()


def _load_messages(proto_file: str) -> dict[str, Any]:
    """What the _pb2 module of `proto_file` would hold: its messages and enums, by name."""
    file = _POOL.FindFileByName(proto_file)
    messages = {name: GetMessageClass(message) for name, message in file.message_types_by_name.items()}
    return messages | {name: EnumTypeWrapper(enum) for name, enum in file.enum_types_by_name.items()}


HLO_PB2 = _load_messages("xla/service/hlo.proto")
XLA_DATA_PB2 = _load_messages("xla/xla_data.proto")
METANEFF_PB2 = _load_messages("neuron_sim/metaneff.proto")

HloModuleProto: Any = HLO_PB2["HloModuleProto"]
PrimitiveType: Any = XLA_DATA_PB2["PrimitiveType"]
MetaNeff: Any = METANEFF_PB2["MetaNeff"]
MetaTensor: Any = METANEFF_PB2["MetaTensor"]

DTYPE_NAMES = {
    PrimitiveType.Value(xla): name
    for xla, name in {
        "F64": "float64",
        "F32": "float32",
        "F16": "float16",
        "BF16": "bfloat16",
        "S64": "int64",
        "S32": "int32",
        "S16": "int16",
        "S8": "int8",
        "U8": "uint8",
        "PRED": "bool",
    }.items()
}


def get_torch_dtype(data_type: int) -> torch.dtype:
    """The dtype of a metaneff data_type, which here is an XLA PrimitiveType."""
    import torch  # here: the stand-in for nrtpy reads HLO without it

    dtype: torch.dtype = getattr(torch, DTYPE_NAMES[data_type])
    return dtype


def entry_computation(module: Any) -> Any:
    """The computation of an HLO module that runs."""
    return next(computation for computation in module.computations if computation.id == module.entry_computation_id)
