#!/bin/sh
# Runs the Neuron tests, or what is named, in the simulator that setup.sh has built.
#   run.sh [FILE ...] [option of pytest ...]      run.sh -m MODULE [argument ...]
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
NXD_SRC=$(cd "${NXD_SRC:?a checkout of neuronx-distributed: its src folder}" && pwd)
NXDI_SRC=$(cd "${NXDI_SRC:?a checkout of neuronx-distributed-inference: its src folder}" && pwd)
NEURON_SIM_HOME=${NEURON_SIM_HOME:-$HOME/.cache/neuron_sim}
export NXD_SRC NXDI_SRC NEURON_SIM_HOME
# The first holds sitecustomize.py, which makes every Python process one with the simulated packages.
export PYTHONPATH="$root/tests/neuron_sim/site:$root"
export PYTHONPYCACHEPREFIX="$NEURON_SIM_HOME/pycache"
export NXD_LOG_LEVEL="${NXD_LOG_LEVEL:-error}"
cd "$root"
case "${1:-}" in
  -m) exec "$NEURON_SIM_HOME/venv/bin/python" "$@" ;;
  tests/*) ;;
  *) set -- tests/neuron_sim/test_neuron_*.py tests/integration/test_neuron_failures.py "$@" ;;
esac
# torch_xla, NxD and jax warn of each other; our own warnings are errors in `make test`
exec "$NEURON_SIM_HOME/venv/bin/python" -m pytest -p no:cacheprovider -W default "$@"
