"""Frontend: functions of torch as OpenVINO models, over parameters whose values torch never sees."""

from __future__ import annotations

import logging
import threading
import warnings
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from neuron_whisper.target.cpu.lowering import frontend
from neuron_whisper.target.cpu.lowering.frontend import Frontend
from neuron_whisper.target.cpu.lowering.lowering import Lowering
from tests.support.sessions import checkpoint, compile_request
from tests.unit.target.cpu.lowering.test_lowering import PROFILE, PROGRAM

VALUES = {
    "block.0.weight": np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32),
    "block.0.bias": np.arange(5, dtype=np.float32),
    "unused.weight": np.ones((3, 3), np.float32),
}
SHAPES = {name: value.shape for name, value in VALUES.items()}
X = np.random.default_rng(1).standard_normal((6, 4)).astype(np.float32)


def convert_linear() -> ov.Model:
    made = Frontend(SHAPES, VALUES.__getitem__)

    def function(x: Tensor) -> tuple[Tensor, ...]:
        return (F.linear(x, made.parameters["block.0.weight"], made.parameters["block.0.bias"]),)

    return made.convert(function, (torch.zeros(2, 4),))


def run(model: ov.Model, x: NDArray[np.float32]) -> NDArray[np.float32]:
    output: NDArray[np.float32] = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(x)[0]
    return output


def is_matrix(node: ov.Node) -> bool:
    return node.get_type_name() == "Constant" and len(node.get_output_shape(0)) == 2


def describe(model: ov.Model) -> list[tuple[object, ...]]:
    """Every operation in order: type, attributes, the shape of what it gives; constants by value too."""
    return [
        (
            node.get_type_name(),
            str(node.get_attributes()),
            [str(output.get_partial_shape()) for output in node.outputs()],
            node.data.tobytes() if node.get_type_name() == "Constant" else b"",
        )
        for node in model.get_ordered_ops()
    ]


@pytest.fixture(params=["this release", "another release"])
def release(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """OpenVINO as installed, and as if its frontend were not known."""
    if request.param == "another release":
        monkeypatch.setattr(frontend, "DIRECT_OPENVINO", "2019.1.")
    return str(request.param)


@pytest.mark.usefixtures("release")
def test_the_process_logs_as_before() -> None:
    level = logging.getLogger().level
    convert_linear()
    assert logging.getLogger().level == level


@pytest.mark.usefixtures("release")
def test_a_model_computes_with_the_values_at_any_length() -> None:
    expected = X @ VALUES["block.0.weight"].T + VALUES["block.0.bias"]
    np.testing.assert_allclose(run(convert_linear(), X), expected, rtol=1e-5, atol=1e-5)


def test_a_matrix_has_its_name_in_the_checkpoint() -> None:
    matrices = {node.get_friendly_name(): node.data for node in convert_linear().get_ops() if is_matrix(node)}
    np.testing.assert_array_equal(matrices.pop("block.0.weight"), VALUES["block.0.weight"])
    assert "unused.weight" not in matrices


@pytest.mark.parametrize("graph", ["encode_1", "align"])
def test_a_graph_is_the_same_as_convert_model_makes_it(graph: str, monkeypatch: pytest.MonkeyPatch) -> None:
    request = compile_request(PROGRAM, PROFILE, checkpoint(PROGRAM), Path("unused"))
    direct = describe(Lowering(request).lower_graph(graph))
    monkeypatch.setattr(frontend, "DIRECT_OPENVINO", "2019.1.")
    assert direct == describe(Lowering(request).lower_graph(graph))


def test_parameters_take_no_memory_until_they_have_values() -> None:
    def resident_mb() -> int:
        fields = Path("/proc/self/statm").read_text().split()
        return int(fields[1]) * 4096 // 2**20

    before = resident_mb()
    made = Frontend({"large": (20_000, 20_000)}, VALUES.__getitem__)
    assert made.parameters["large"].shape == (20_000, 20_000)
    assert resident_mb() - before < 100


def test_a_graph_reads_the_values_that_it_uses_and_no_others() -> None:
    reads = []

    def read(name: str) -> NDArray[np.float32]:
        reads.append(name)
        return VALUES[name]

    made = Frontend(SHAPES, read)
    model = made.convert(lambda x: (x @ made.parameters["block.0.weight"],), (torch.zeros(2, 5),))
    assert reads == ["block.0.weight"]
    np.testing.assert_array_equal(run(model, np.eye(5, dtype=np.float32)), VALUES["block.0.weight"])


@pytest.mark.usefixtures("release")
def test_an_operation_that_the_frontend_does_not_know_is_named() -> None:
    with pytest.raises(RuntimeError, match="aten::geqrf"):
        Frontend(SHAPES, VALUES.__getitem__).convert(lambda x: (torch.geqrf(x)[0],), (torch.zeros(4, 4),))


def test_tracing_leaves_the_number_of_threads_as_it_was() -> None:
    threads = torch.get_num_threads()
    convert_linear()
    assert torch.get_num_threads() == threads


def test_a_thread_that_begins_while_a_function_is_traced_has_all_threads_of_torch() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    found = {}

    def count(when: str) -> None:
        found[when] = torch.get_num_threads()

    def function(x: Tensor) -> tuple[Tensor, ...]:
        count("traced")
        beside = threading.Thread(target=count, args=("beside",))
        beside.start()
        beside.join()
        return (x + 1,)

    try:
        Frontend(SHAPES, VALUES.__getitem__).convert(function, (torch.zeros(2, 4),))
        assert found == {"traced": 1, "beside": 2}
    finally:
        torch.set_num_threads(threads)


def test_tracing_leaves_warnings_of_others_as_they_were() -> None:
    def function(x: Tensor) -> tuple[Tensor, ...]:
        warnings.warn("from elsewhere", UserWarning, stacklevel=1)
        return (x + 1,)

    with pytest.warns(UserWarning, match="from elsewhere"):
        Frontend(SHAPES, VALUES.__getitem__).convert(function, (torch.zeros(2, 4),))


def test_the_tracers_own_warnings_of_constant_sizes_are_not_shown() -> None:
    def function(x: Tensor) -> tuple[Tensor, ...]:
        return (x + int(x.sum()),)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Frontend(SHAPES, VALUES.__getitem__).convert(function, (torch.zeros(2, 4),))
