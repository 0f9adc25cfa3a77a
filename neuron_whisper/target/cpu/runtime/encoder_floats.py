"""An 8-bit encoder in floats, for processors without dot products of 8-bit integers."""

from __future__ import annotations

from collections.abc import Collection

import openvino as ov

from neuron_whisper.host.hardware import INT8_DOT_FLAGS


def has_int8_dot(flags: Collection[str]) -> bool:
    """Whether the processor adds up products of 8-bit integers in 32 bit.

    Without, AVX2 adds pairs of them in 16 bit, which overflows: OpenVINO's products would be wrong, not only slow.
    """
    return any(flag in flags for flag in INT8_DOT_FLAGS)


def compute_in_floats(model: ov.Model) -> None:
    """Take the roundings to 8 bit out of a graph, in place. Its 8-bit matrices are read as floats then."""
    for node in model.get_ordered_ops():
        if node.get_type_name() == "FakeQuantize":
            for reader in node.output(0).get_target_inputs():
                reader.replace_source_output(node.input_value(0))
    model.validate_nodes_and_infer_types()
