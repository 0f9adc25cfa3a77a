"""Runs the compiled graphs on NeuronCores. Not part of the artifact key."""
