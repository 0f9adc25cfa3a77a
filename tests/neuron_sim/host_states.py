"""Where the states of a bundle lie: in host memory, as there is no Neuron device. The one change made to NxD."""

from __future__ import annotations

import torch


# TorchScript compiles it, and takes no type comment but an ignore at a line's end
def forward(self):  # type: ignore[no-untyped-def]
    """StateInitializer.forward: zeros per rank. NEURON_COMBINE_KV_ALLOCATIONS is not modelled."""
    ranks: list[dict[str, torch.Tensor]] = []
    for _ in range(self.local_ranks_size):
        states: dict[str, torch.Tensor] = {}
        for key in self.shapes:
            states[key] = torch.zeros(self.shapes[key], dtype=self.dtypes[key])
        ranks.append(states)
    return ranks
