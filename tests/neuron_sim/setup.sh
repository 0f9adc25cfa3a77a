#!/bin/sh
# Builds what the simulator needs below $NEURON_SIM_HOME: a virtual environment, stub CUDA libraries, the descriptors of
# XLA's messages and the C++ stand-in. A finished step is kept. Needs gcc, g++ and readelf.
#   NXD_SRC, NXDI_SRC  the src folders of the two checkouts; looked at here so that a wrong one is told at once
#   NEURON_SIM_HOME    where everything goes (default ~/.cache/neuron_sim; 3.2 GB)
#   PYTHON             the interpreter of the environment, 3.11 to 3.13 (default python3)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
started=$(date +%s)

say() { printf '%4d s  %s\n' "$(($(date +%s) - started))" "$*"; }

lacks_sources() {
  cat >&2 <<TEXT
$1
The Neuron tests run the open-source NxD and NxDI. Of SDK 2.27 to 2.29 both are to be had by
  git clone https://github.com/aws-neuron/neuronx-distributed
  git clone https://github.com/aws-neuron/neuronx-distributed-inference
  make neuron-sim NXD_SRC=.../neuronx-distributed/src NXDI_SRC=.../neuronx-distributed-inference/src
TEXT
  exit 1
}
[ -d "${NXD_SRC:-}/neuronx_distributed" ] || lacks_sources "NXD_SRC is '${NXD_SRC:-}': no neuronx_distributed there."
[ -d "${NXDI_SRC:-}/neuronx_distributed_inference" ] ||
  lacks_sources "NXDI_SRC is '${NXDI_SRC:-}': no neuronx_distributed_inference there."
for tool in "${PYTHON:=python3}" gcc g++ readelf; do
  command -v "$tool" > /dev/null || { echo "$tool is needed" >&2; exit 1; }
done

home=${NEURON_SIM_HOME:-$HOME/.cache/neuron_sim}
mkdir -p "$home"
home=$(cd "$home" && pwd)
python=$home/venv/bin/python
# Bytecode of stock packages and of checkouts goes below $home only.
export PYTHONPYCACHEPREFIX="$home/pycache"

pins="$root/.ci/requirements.txt $here/requirements.txt"
# shellcheck disable=SC2086  # two files
if cat $pins | cmp -s - "$home/installed.txt"; then
  say "kept    $home/venv"
else
  [ -x "$python" ] || "$PYTHON" -m venv "$home/venv"
  for file in $pins; do # in this order: the second holds some back
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --requirement "$file"
  done
  cat $pins > "$home/installed.txt"
  say "built   $home/venv ($("$python" --version))"
fi
torch=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')/torch

if [ -e "$torch/lib/libnvshmem_host.so.3" ]; then # the last that is made
  say "kept    stub CUDA libraries"
else
  "$python" "$here/cuda_stubs.py" "$torch/lib"
  say "built   stub CUDA libraries"
fi

if [ -s "$home/xla_descriptors.binpb" ]; then
  say "kept    descriptors of XLA's messages"
else
  "$python" "$here/xla_descriptors.py" "$home/xla_descriptors.binpb"
  say "built   descriptors of XLA's messages"
fi

library=$home/libneuron_sim.so
if [ "$library" -nt "$here/neuron_classes.cpp" ]; then
  say "kept    $library"
else
  headers=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
  g++ -std=c++17 -O1 -fPIC -shared -w \
    -isystem "$torch/include" -isystem "$torch/include/torch/csrc/api/include" -isystem "$headers" \
    "$here/neuron_classes.cpp" -o "$library" -L"$torch/lib" -ltorch_python -ltorch_cpu -lc10 -Wl,-rpath,"$torch/lib"
  say "built   $library"
fi
