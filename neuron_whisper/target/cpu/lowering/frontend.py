"""Graph functions to OpenVINO models: traced by torch over empty parameters, converted with their values."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import openvino as ov
import torch
from numpy.typing import NDArray
from openvino import opset13 as ops
from openvino.frontend import FrontEndManager, OpConversionFailure
from torch import Tensor, nn
from torch.jit._trace import TracerWarning

from neuron_whisper.target.cpu.lowering.constants import Placeholders

# The releases whose frontend is loaded directly. `openvino.convert_model` does the same and runs a pass of
# preprocessing over all constants besides, which changes nothing and takes longer than all the rest.
DIRECT_OPENVINO = "2026.4."

GraphFunction = Callable[..., tuple[Tensor, ...]]


class _TracedModule(nn.Module):
    """A function of flat tensors, as the module that the tracer takes; its buffers are the function's parameters."""

    def __init__(self, function: GraphFunction, parameters: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._function = function
        for name, parameter in parameters.items():
            self.register_buffer(_to_attribute(name), parameter)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return self._function(*inputs)


class Frontend:
    """Converts functions over one set of parameters; `read` is called for those that a graph uses, for every graph.

    A graph does not depend on the values of its parameters, so functions are traced over zeros that were never
    written: the memory of `parameters` is never allocated. A model holds the values that it uses, no others; of its
    matrices it holds placeholders where there are `placeholders`.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        read: Callable[[str], NDArray[np.float32]],
        placeholders: Placeholders | None = None,
    ) -> None:
        self._read, self._placeholders = read, placeholders
        self.parameters: Mapping[str, Tensor] = {
            name: torch.from_numpy(np.zeros(shape, np.float32)) for name, shape in shapes.items()
        }

    def convert(self, function: GraphFunction, inputs: tuple[Tensor, ...]) -> ov.Model:
        """The model of a function that computes with `parameters`. Lengths of all axes are free.

        Raises RuntimeError for an operation that the frontend does not know.
        """
        module = _TracedModule(function, self.parameters)
        with torch.inference_mode():
            traced = _trace_on_one_thread(module, inputs)
            if ov.get_version().startswith(DIRECT_OPENVINO):
                return self._convert_directly(traced, inputs)
            return self._convert_by_tool(traced, inputs)

    def _convert_directly(self, traced: torch.jit.ScriptModule, inputs: Sequence[Tensor]) -> ov.Model:
        from openvino._offline_transformations import apply_moc_transformations
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

        names = self._find_parameters(traced)
        constants = {
            f"self.{_to_attribute(name)}": (self._make_constant(name).outputs(), ov.OVAny(ov.Type.f32))
            for name in names
        }
        n_constants = len(constants)
        frontend = FrontEndManager().load_by_framework("pytorch")
        # held until the model is converted: the frontend does not keep it alive
        decoder = TorchScriptPythonDecoder(traced, example_input=tuple(inputs), constant_cache=constants)
        try:
            model: ov.Model = frontend.convert(frontend.load(decoder))
        except OpConversionFailure as error:
            raise RuntimeError(str(error)) from None
        if len(constants) != n_constants:
            raise RuntimeError("the frontend took a parameter for a new constant: its value would be zeros")
        apply_moc_transformations(model, cf=False)
        self._check_placeholders(model, names)
        return model

    def _make_constant(self, name: str) -> ov.Node:
        if self._placeholders is not None and self._is_matrix(name):
            return self._placeholders.make(name, self.parameters[name].shape)
        return ops.constant(self._read(name), name=name, shared_memory=True)

    def _is_matrix(self, name: str) -> bool:
        """Whether only products and lookups read a parameter, for which no conversion looks at the values."""
        return name.endswith(".weight") and self.parameters[name].ndim > 1

    def _check_placeholders(self, model: ov.Model, names: Sequence[str]) -> None:
        """Raise RuntimeError where the frontend made another constant of a placeholder, whose values are not there."""
        if self._placeholders is None:
            return
        places = filter(None, map(self._placeholders.find, model.get_ops()))
        missing = {name for name in names if self._is_matrix(name)} - {place.parameter for place in places}
        if missing:
            raise RuntimeError(f"the frontend changed the values of {min(missing)}, which are read later")

    def _convert_by_tool(self, traced: torch.jit.ScriptModule, inputs: tuple[Tensor, ...]) -> ov.Model:
        for name in self._find_parameters(traced):
            self.parameters[name].copy_(torch.from_numpy(self._read(name)))
        root = logging.getLogger()
        level = root.level  # which the tool sets for the whole process
        try:
            model: ov.Model = ov.convert_model(traced, example_input=inputs)
        except OpConversionFailure as error:
            raise RuntimeError(str(error)) from None
        finally:
            root.setLevel(level)
        return model

    def _find_parameters(self, traced: torch.jit.ScriptModule) -> list[str]:
        """Names of the parameters that a traced graph reads."""
        attributes = {node.s("name") for node in traced.inlined_graph.nodes() if node.kind() == "prim::GetAttr"}
        return [name for name in self.parameters if _to_attribute(name) in attributes]


def _trace_on_one_thread(module: nn.Module, inputs: tuple[Tensor, ...]) -> torch.jit.ScriptModule:
    """Tracing computes thousands of tiny operations, at which several threads only wait for each other.

    torch's number of threads is one of the calling thread, and the last one set that of threads to come. So a thread
    of its own traces, and golden tokens that another one makes meanwhile keep theirs.
    """

    def trace() -> torch.jit.ScriptModule:
        with torch.inference_mode():
            traced: torch.jit.ScriptModule = torch.jit.trace(module, inputs, check_trace=False)  # type: ignore[no-untyped-call]
        return traced

    # for good, since filters are the process's: the tracer warns of every size that becomes a constant, as it must
    warnings.filterwarnings("ignore", category=TracerWarning)
    warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(1, thread_name_prefix="tracing") as thread:
        thread.submit(torch.get_num_threads).result()  # a thread takes the number for those to come at its first look
        thread.submit(torch.set_num_threads, 1).result()
        torch.set_num_threads(threads)
        return thread.submit(trace).result()


def _to_attribute(name: str) -> str:
    return name.replace(".", "__")  # no parameter's name has two underscores
