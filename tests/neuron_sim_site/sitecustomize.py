"""On PYTHONPATH, Python starts with the simulated Neuron packages, in child processes too. See run_neuron_sim.sh."""

from __future__ import annotations

import neuron_sim  # type: ignore[import-not-found] # the simulator is no dependency

neuron_sim.install()
