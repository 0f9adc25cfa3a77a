#!/bin/sh
# The Neuron tests against NxD's own code on the simulator's CPU devices. Wants, in the environment:
#   NXD_SRC, NXDI_SRC  the src folders of neuronx-distributed and neuronx-distributed-inference
#   NEURON_SIM         the simulator's folder, whose setup.sh has run
#   NEURON_SIM_HOME    where that put its environment (default ~/.cache/neuron_sim)
# msgspec, openvino and hypothesis must be installed in $NEURON_SIM_HOME/venv. Further arguments go to pytest.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
: "${NXD_SRC:?}" "${NXDI_SRC:?}" "${NEURON_SIM:?}" "${NEURON_SIM_HOME:=$HOME/.cache/neuron_sim}"
export NXD_SRC NXDI_SRC NEURON_SIM_HOME
export PYTHONPATH="$root/tests/neuron_sim_site:$root:$NEURON_SIM"
cd "$root"
# torch_xla, NxD and jax warn of each other; our own warnings are errors in `make test`
exec "$NEURON_SIM_HOME/venv/bin/python" -m pytest -p no:cacheprovider -W default tests/test_neuron_target.py "$@"
