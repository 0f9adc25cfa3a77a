"""Imports of the closed packages: stands for torch_neuronx, libneuronxla, neuronxcc, nki, nkilib and nrtpy.

PROVIDERS lists the modules whose names do something; any other name of these packages is an inert dummy, which may be
imported, subclassed, called or used as a decorator. A graph that runs into a dummy fails or computes nonsense: keep to
plain torch and NxD's layers. Until one of these packages is imported, nothing is loaded: Python starts as usual.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import os
import re
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.metadata import Distribution, DistributionFinder
from os import PathLike
from pathlib import Path
from typing import Any

from tests.neuron_sim import HOME, PLATFORM, SOURCES

PACKAGES = ("torch_neuronx", "libneuronxla", "neuronxcc", "neuronx_cc", "nki", "nkilib", "nrtpy")
# Versions: of the closed packages those of SDK 2.29, marked, so that no artifact made here passes
# for a real one; of the checkouts their own.
SIMULATED_VERSIONS = {
    "torch-neuronx": "2.9.0.2.13+simulated",
    "neuronx-cc": "2.24+simulated",
    "nrtpy": "2.34.10+simulated",
}
STATES_MODULE = "neuronx_distributed.trace.spmd"


@contextlib.contextmanager
def no_context(*_ignored: object, **_also_ignored: object) -> Iterator[None]:
    """Stands for disable_nrt_load, which keeps the real runtime from loading, and hlo_debug, which annotates HLO."""
    yield


def platform_target(*_ignored: object) -> str:
    return PLATFORM


def _runtime_classes() -> Mapping[str, Any]:
    """Registers torch.classes.neuron, as importing torch_neuronx does."""
    import torch

    torch.classes.load_library(str(HOME / "libneuron_sim.so"))
    return {"__version__": SIMULATED_VERSIONS["torch-neuronx"]}


def _protos(name: str) -> Callable[[], Mapping[str, Any]]:
    def provide() -> Mapping[str, Any]:
        names: Mapping[str, Any] = getattr(importlib.import_module("tests.neuron_sim.protos"), name)
        return names

    return provide


def _provide_names(module: str, *names: str) -> Callable[[], Mapping[str, Any]]:
    """Those names of a module of ours."""
    return lambda: {name: getattr(importlib.import_module(f"tests.neuron_sim.{module}"), name) for name in names}


def _nrtpy() -> Mapping[str, Any]:
    """Not by the same name: its own must not be found in this folder."""
    names: Mapping[str, Any] = importlib.import_module("tests.neuron_sim.nrtpy").NAMES
    return {name: value for name, value in names.items() if not name.startswith("__")}


PROVIDERS: Mapping[str, Callable[[], Mapping[str, Any]]] = {
    "libneuronxla": _provide_names("compiler", "neuron_xla_compile", "neuron_xla_wlo_compile"),
    "nrtpy": _nrtpy,
    "torch_neuronx": _runtime_classes,
    "torch_neuronx.contexts": lambda: {"disable_nrt_load": no_context},
    "torch_neuronx.experimental.profiler.v2_x.custom_op_name": lambda: {"hlo_debug": no_context},
    "torch_neuronx.proto.metaneff_pb2": _protos("METANEFF_PB2"),
    "torch_neuronx.pyhlo.hlo_pb2": _protos("HLO_PB2"),
    "torch_neuronx.pyhlo.xla_data_pb2": _protos("XLA_DATA_PB2"),
    "torch_neuronx.utils": lambda: {"get_platform_target": platform_target},
    "torch_neuronx.utils.utils": lambda: {
        "get_platform_target": platform_target,
        "SUPPORTED_TYPES": ["inf2", "trn1", "trn1n", "trn2"],
    },
    "torch_neuronx.xla_impl.structure": _provide_names("tracer", "Flattener", "Packer"),
    "torch_neuronx.xla_impl.trace": _provide_names(
        "trace_module",
        "generate_hlo",
        "generate_neff",
        "get_torch_dtype",
        "get_hlo_computation_by_id",
        "get_hlo_root_instruction",
        "hlo_entry_computation",
        "HloArtifacts",
        "NeffArtifacts",
        "XLA_DTYPE_TO_METANEFF_DTYPE",
    ),
}


class DummyType(type):
    """Makes each dummy a class, so that it can be a base class, a type annotation, a function or a decorator."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return make_dummy(f"{cls.__name__}.{name}")

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if "is_dummy" not in vars(cls):
            return super().__call__(*args, **kwargs)  # a real class derived from a dummy
        as_decorator = len(args) == 1 and not kwargs and callable(args[0]) and not isinstance(args[0], DummyType)
        return args[0] if as_decorator else cls

    def __getitem__(cls, key: object) -> Any:
        return cls


def make_dummy(name: str) -> DummyType:
    return DummyType(name, (), {"is_dummy": True})


class StandInModule(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        path = f"{self.__name__}.{name}"
        if any(module == path or module.startswith(path + ".") for module in PROVIDERS):
            return importlib.import_module(path)
        setattr(self, name, make_dummy(path))
        return getattr(self, name)


class StandInDistribution(Distribution):
    """Metadata of a package that was never installed: its name and version."""

    def __init__(self, name: str, version: str) -> None:
        self._text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"

    def read_text(self, filename: str) -> str | None:
        return self._text if filename == "METADATA" else None

    def locate_file(self, path: str | PathLike[str]) -> Path:
        return HOME / path


class HostStatesLoader(SourceFileLoader):
    """Loads NxD's own module, whose states then lie in host memory."""

    def exec_module(self, module: types.ModuleType) -> None:
        super().exec_module(module)
        from tests.neuron_sim import host_states

        vars(module)["StateInitializer"].forward = host_states.forward


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds every module of PACKAGES, at any depth, and the versions of what is simulated."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] in PACKAGES:
            # While it is imported, stock torch_xla looks for libneuronxla to run on, and must not find it.
            torch_xla = sys.modules.get("torch_xla")
            is_loading_xla = torch_xla is not None and not hasattr(torch_xla, "_found_libneuronxla")
            return None if is_loading_xla else ModuleSpec(name, self, is_package=True)
        if name == STATES_MODULE and (spec := PathFinder.find_spec(name, path)) is not None:
            assert spec.origin is not None
            spec.loader = HostStatesLoader(name, spec.origin)
            return spec
        return None

    def create_module(self, spec: ModuleSpec) -> StandInModule:
        return StandInModule(spec.name)

    def get_filename(self, name: str = "") -> str:
        """Beside it NxD looks for starfish/bin/hlo-opt, if `name` is the compiler's."""
        return str(Path(__file__).parent / "__init__.py")

    def exec_module(self, module: types.ModuleType) -> None:
        if provide := PROVIDERS.get(module.__name__):
            vars(module).update(provide())

    def find_distributions(self, context: DistributionFinder.Context) -> Iterable[Distribution]:
        requested = context.name and context.name.replace("_", "-")
        return [
            StandInDistribution(name, version) for name, version in _simulated_versions() if requested in (None, name)
        ]


def _simulated_versions() -> Iterator[tuple[str, str]]:
    yield from SIMULATED_VERSIONS.items()
    for variable, package in SOURCES.items():
        text = Path(os.environ[variable], package, "_version.py").read_text()
        if found := re.search(r'__version__ = "(.+)"', text):
            yield package.replace("_", "-"), found[1]


def install() -> None:
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())
