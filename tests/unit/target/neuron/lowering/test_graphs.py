"""The Neuron graphs meet what NxD requires of them."""

from __future__ import annotations

import torch

from neuron_whisper.target.neuron.lowering.graphs import DecodeGraph, example_inputs
from tests.support.plain_bundle import OneRankLayers
from tests.support.tiny_program import DIMS, spec


def test_the_first_graph_reads_every_state() -> None:
    inputs = example_inputs(spec(), torch.float32)
    assert next(iter(inputs)) == "decode"
    graph = DecodeGraph(spec(), OneRankLayers(DIMS, {}), torch.float32)
    assert len(graph.aliases()) == len(list(graph.states.parameters())) == 4 * DIMS.n_text_layer + 1


def test_no_two_graphs_take_inputs_of_the_same_shapes() -> None:
    for program in (spec(), spec(slots=1, beams=1)):
        shapes = [
            str([list(x.shape) for x in inputs])
            for _, buckets in example_inputs(program, torch.float32).values()
            for inputs in buckets
        ]
        assert len(shapes) == len(set(shapes)) == len(program.encode_batches) + 5
