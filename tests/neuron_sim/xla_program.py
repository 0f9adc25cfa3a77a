"""An HLO module compiled for a number of ranks, each a device of XLA:CPU. Collectives run between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxlib import xla_client
from numpy.typing import NDArray

from tests.neuron_sim import CORES

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", CORES)
jax.config.update("jax_enable_x64", True)


class XlaProgram:
    """Raises RuntimeError for more ranks than CORES."""

    def __init__(self, hlo: bytes, ranks: int) -> None:
        devices = jax.devices()[:ranks]
        if len(devices) < ranks:
            raise RuntimeError(f"{ranks} ranks on {len(devices)} cores")
        options = xla_client.CompileOptions()
        options.num_replicas = ranks
        options.num_partitions = 1
        options.executable_build_options.num_replicas = ranks
        options.device_assignment = xla_client.DeviceAssignment.create(np.array([[device.id] for device in devices]))
        program = xla_client._xla.mlir.hlo_to_stablehlo(hlo)
        self._executable = devices[0].client.compile_and_load(program, xla_client.DeviceList(tuple(devices)), options)
        self._ranks, self._mesh = ranks, Mesh(np.array(devices), ("rank",))

    def put_on_devices(self, per_rank: Sequence[NDArray[Any]]) -> Any:
        """One array whose shard on device r is per_rank[r]."""
        pairs = zip(per_rank, self._mesh.devices, strict=True)
        return self.join_shards([jax.device_put(array, device) for array, device in pairs])

    def join_shards(self, shards: Sequence[Any]) -> Any:
        """One array of an array per device."""
        shape = shards[0].shape
        if not shape:
            return jax.make_array_from_single_device_arrays((), NamedSharding(self._mesh, PartitionSpec()), shards)
        whole = (shape[0] * self._ranks, *shape[1:])
        return jax.make_array_from_single_device_arrays(whole, NamedSharding(self._mesh, PartitionSpec("rank")), shards)

    def run(self, arguments: Sequence[Any]) -> list[list[Any]]:
        """Arguments as put_on_devices returns them -> of every result, its array on each device."""
        results: list[list[Any]] = self._executable.execute_sharded(arguments).disassemble_into_single_device_arrays()
        return results
