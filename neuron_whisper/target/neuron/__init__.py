"""The Neuron target: the program on NxD's parallel layers, as one bundle of graphs that share their state."""
