"""Arrays shared with OpenVINO without a copy."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops

from neuron_whisper.target.cpu.runtime.kv_cache_backend import read_cache_output, set_inputs, share_cache


@pytest.mark.parametrize(
    ("element", "store", "one"),
    [(ov.Type.f32, np.float32, 1.0), (ov.Type.f16, np.float16, 1.0), (ov.Type.bf16, np.uint16, 0x3F80)],
)
def test_a_graph_reads_what_is_written_to_a_cache_after_it_was_bound(
    element: ov.Type, store: type[np.generic], one: float
) -> None:
    x = ops.parameter([2, 2], element)
    request = ov.Core().compile_model(ov.Model([ops.convert(x, "f32")], [x]), "CPU").create_infer_request()
    cache = np.zeros((3, 2), store)
    request.set_input_tensor(0, share_cache(cache[1:], element))
    cache[2] = one
    request.infer()
    assert request.get_output_tensor(0).data.tolist() == [[0, 0], [1, 1]]


def test_outputs_in_bfloat16_are_read_as_their_bits() -> None:
    x = ops.parameter([1], np.float32)
    model = ov.Model([ops.convert(x, "bf16")], [x])
    request = ov.Core().compile_model(model, "CPU").create_infer_request()
    array = np.array([1], np.float32)
    set_inputs(request, 0, array)
    request.infer()
    assert read_cache_output(request, 0, ov.Type.bf16).tolist() == [0x3F80]
