"""The Neuron target: the program on NxD's parallel layers, one bundle of graphs that share their states."""
