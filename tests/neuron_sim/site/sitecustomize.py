"""On PYTHONPATH, Python starts with the simulated Neuron packages, in child processes too. See ../run.sh."""

from __future__ import annotations

from tests import neuron_sim

neuron_sim.install()
