"""Marks that keep the residual stream, norms and logits in float32 where the plugin computes in bfloat16."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from neuron_whisper.profile import CompileProfile, parse_profile
from neuron_whisper.target.cpu.lowering.graph_signatures import graph_file
from neuron_whisper.target.cpu.lowering.lowering import Lowering
from neuron_whisper.target.cpu.target import TARGET
from neuron_whisper.target.interfaces import N_RULES, RULE_TEXT, PrefillInputs, StepInputs
from tests.support.sessions import checkpoint, compile_request
from tests.support.tiny_program import DIMS, spec

PROGRAM = replace(spec(dims=DIMS), slots=1, beams=1, choices=1, align_buckets=())
NORMS = 1 + 2 * DIMS.n_audio_layer, 1 + 3 * DIMS.n_text_layer  # of the encoder, of a step
HAS_BFLOAT16 = "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def profile(dtype: str, weights: str) -> CompileProfile:
    return parse_profile(f'format = 1\n[target]\nname = "cpu"\ndtype = "{dtype}"\n[weights]\ndtype = "{weights}"')


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same program in 16 bit, with 8-bit weights, and in float32."""
    found = {}
    for dtype, weights in (("bfloat16", "bfloat16"), ("bfloat16", "int8"), ("float32", "float32")):
        directory = tmp_path_factory.mktemp(weights)
        Lowering(compile_request(PROGRAM, profile(dtype, weights), checkpoint(PROGRAM), directory)).write()
        found[weights] = directory
    return found


def marked_layers(directory: Path, graph: str, mark: str) -> list[str]:
    layers = ET.parse(graph_file(directory, graph)).iter("layer")
    return [it.attrib["type"] for it in layers if it.find(f"rt_info/attribute[@name='{mark}']") is not None]


@pytest.mark.parametrize("weights", ["bfloat16", "int8"])
def test_the_residual_stream_norms_and_the_products_added_to_it_are_marked(
    artifacts: dict[str, Path], weights: str
) -> None:
    for graph, norms in zip(("encode_1", "decode_1"), NORMS, strict=True):
        is_step = graph == "decode_1"
        of_embedding = is_step and weights == "int8"  # the sum of both its parts, and each part times its scale
        marked = marked_layers(artifacts[weights], graph, "DisablePrecisionConversion")
        assert marked.count("MVN") == norms
        joins = is_step * DIMS.n_text_layer  # of what is attended to in the past and in the step's own row
        assert marked.count("Multiply") == norms + 2 * of_embedding + joins
        assert marked.count("Clamp") == norms - 1 + is_step  # behind what each norm's layer adds, and the vocabulary
        # the streams, and the shift of the last norm
        assert marked.count("Add") == norms + is_step + of_embedding + joins
    encoder = marked_layers(artifacts[weights], "encode_1", "DisablePrecisionConversion")
    assert {"Gelu", "Transpose"} <= set(encoder)


def test_matrices_of_16_bit_are_read_as_they_are_stored(artifacts: dict[str, Path]) -> None:
    assert marked_layers(artifacts["bfloat16"], "decode_1", "decompression").count("Convert") > 8 * DIMS.n_text_layer
    assert marked_layers(artifacts["int8"], "encode_1", "decompression")


def test_a_graph_in_float32_has_no_marks(artifacts: dict[str, Path]) -> None:
    for graph in ("encode_1", "decode_1"):
        assert not marked_layers(artifacts["float32"], graph, "DisablePrecisionConversion")


def logprobs(directory: Path, used: CompileProfile) -> np.ndarray:
    """Of every token after a prompt and one step."""
    session = TARGET.open(directory, PROGRAM, used)
    rules = np.zeros((1, N_RULES), np.int32)
    rules[:, RULE_TEXT] = 1
    rng = np.random.default_rng(0)
    session.encode([0], rng.standard_normal((1, DIMS.n_mels, DIMS.n_frames)).astype(np.float32))
    prompt = np.array([PROGRAM.special.sot, 1, 2, 3], np.int32)
    nothing = np.zeros(DIMS.n_vocab, bool)
    session.prefill(0, PrefillInputs(prompt=prompt, sot_index=0, rules=rules[0], suppressed=nothing))
    one = {"parents": np.zeros(1, np.int32), "rules": rules, "active": np.ones(1, bool)}
    found = session.logits(StepInputs(tokens=np.array([5], np.int32), positions=np.array([4], np.int32), **one))
    session.close()
    text = found[0, : PROGRAM.special.eot]
    finite: np.ndarray = text[np.isfinite(text)]  # but for the blank, which the rules mask
    return finite


@pytest.mark.skipif(not HAS_BFLOAT16, reason="this processor computes in float32: bfloat16's rounding is not seen")
def test_logits_of_a_16_bit_program_are_not_rounded_to_16_bit(artifacts: dict[str, Path]) -> None:
    exact = logprobs(artifacts["float32"], profile("float32", "float32"))
    found = logprobs(artifacts["bfloat16"], profile("bfloat16", "bfloat16"))
    assert np.abs(found - exact).mean() < 0.1
    assert len(np.unique(found)) > len(found) // 2  # with 16 bit there were a few hundred values
