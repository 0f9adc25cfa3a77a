#!/bin/sh
exec sh "$(dirname "$0")/neuron_sim/run.sh" tests/test_neuron_target.py "$@"
