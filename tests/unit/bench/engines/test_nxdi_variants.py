"""Variants of NxDI's Whisper by name."""

from __future__ import annotations

from neuron_whisper.bench.engines.nxdi_variants import make_variants, parse_variant
from neuron_whisper.bench.engines.peers import PEERS


def test_a_variant_is_a_type_and_a_number_of_cores() -> None:
    assert parse_variant("float16") == ("float16", 1)
    assert parse_variant("float32-tp8") == ("float32", 8)
    assert make_variants((1, 2)) == ("float16", "float16-tp2", "float32", "float32-tp2")
    assert {parse_variant(variant)[0] for variant in PEERS["nxdi-whisper"].variants} == {"float16", "float32"}
