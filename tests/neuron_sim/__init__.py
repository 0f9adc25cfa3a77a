"""A simulator of the closed parts of the Neuron SDK: the real NxD and NxDI compile, load and run on a CPU with it.

Real: NxD's parallel layers, sharding, ModelBuilder and TorchScript bundle, NxDI's applications, and that collectives
run between ranks. Stood in: torch_neuronx's tracer (stock torch_xla lowers the HLO), neuronx-cc (the "NEFF" is that
HLO), the runtime (XLA:CPU, a CPU device per rank, states in host memory).

It cannot show whether neuronx-cc takes a graph, how long that lasts or what its casts do to the numbers; any time or
memory of a device; NKI kernels and custom calls; asynchronous execution; several nodes. The metaneff's wire format, the
order of a graph's inputs and what the real tracer does with constants are assumptions.

    NXD_SRC, NXDI_SRC    the `src` folders of checkouts of neuronx-distributed and neuronx-distributed-inference
    NEURON_SIM_HOME      what setup.sh has built (default ~/.cache/neuron_sim)
    NEURON_SIM_PLATFORM  the platform that NxD sees (default inf2)
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

HOME = Path(os.environ.get("NEURON_SIM_HOME", "~/.cache/neuron_sim")).expanduser().absolute()
PLATFORM = os.environ.get("NEURON_SIM_PLATFORM", "inf2")
CORES = 8  # ranks at most
MAGIC = b"NEFF of the simulator\n"  # before the HLO in its "NEFF"

SOURCES = {"NXD_SRC": "neuronx_distributed", "NXDI_SRC": "neuronx_distributed_inference"}


def install() -> None:
    """Make the Neuron packages importable in this process, before anything of them is imported.

    Raises RuntimeError when setup.sh has not run, or a checkout's variable names no `src` folder.
    """
    if not (HOME / "libneuron_sim.so").exists():
        raise RuntimeError(f"nothing built in NEURON_SIM_HOME={HOME}: run setup.sh")
    for variable, package in SOURCES.items():
        folder = os.environ.get(variable)
        if not folder or not Path(folder, package).is_dir():
            raise RuntimeError(f"{variable} is {folder!r}: set it to a checkout's `src` folder, which holds {package}/")
        if folder not in sys.path:
            sys.path.append(folder)
    os.environ.setdefault("PJRT_DEVICE", "CPU")
    from tests.neuron_sim import stand_ins  # which reads what is above

    stand_ins.install()


def is_installed() -> bool:
    """Whether the Neuron packages of this process are the simulated ones."""
    spec = find_spec("torch_neuronx")
    return spec is not None and type(spec.loader).__module__ == f"{__name__}.stand_ins"
