"""What torch_neuronx.xla_impl.trace holds, by its names."""

from tests.neuron_sim.compiler import generate_neff
from tests.neuron_sim.protos import DTYPE_NAMES
from tests.neuron_sim.protos import entry_computation as hlo_entry_computation
from tests.neuron_sim.tracer import HloArtifacts, NeffArtifacts, generate_hlo, get_torch_dtype
from tests.neuron_sim.weight_layouts import get_computation as get_hlo_computation_by_id
from tests.neuron_sim.weight_layouts import get_root as get_hlo_root_instruction

__all__ = [
    "XLA_DTYPE_TO_METANEFF_DTYPE",
    "HloArtifacts",
    "NeffArtifacts",
    "generate_hlo",
    "generate_neff",
    "get_hlo_computation_by_id",
    "get_hlo_root_instruction",
    "get_torch_dtype",
    "hlo_entry_computation",
]

XLA_DTYPE_TO_METANEFF_DTYPE = {number: number for number in DTYPE_NAMES}  # the metaneff of the simulator has XLA's
