"""The graphs of a CPU artifact."""

from __future__ import annotations

import pytest

from neuron_whisper.target.cpu.lowering import graph_signatures
from tests.support.tiny_program import spec


def test_a_program_has_a_graph_for_one_row_and_for_all_of_a_slot() -> None:
    assert graph_signatures.graph_names(spec(slots=3, beams=2)) == (
        "encode_1",
        "encode_2",
        "prefill",
        "decode_1",
        "decode_2",
        "logits_1",
        "logits_2",
        "align",
    )
    assert graph_signatures.graph_names(spec(slots=1)) == (
        "encode_1",
        "prefill",
        "decode_1",
        "decode_2",
        "logits_1",
        "logits_2",
        "align",
    )


def test_a_prompt_is_padded_to_the_first_bucket_or_to_a_multiple_up_to_the_last() -> None:
    lengths = [graph_signatures.padded_length((4, 32, 90), length) for length in (1, 4, 5, 38, 39, 76, 77, 90)]
    assert lengths == [4, 4, 38, 38, 76, 76, 90, 90]
    assert graph_signatures.padded_length((4, 32, 256), 1 + 223 + 4) == 228


@pytest.mark.parametrize(
    ("name", "width"),
    [("decode_1", 1), ("logits_5", 5), ("encode_8", 0), ("encode_1x500", 0), ("prefill", 0), ("align", 0)],
)
def test_step_graphs_are_known_by_their_names(name: str, width: int) -> None:
    assert graph_signatures.width_of_step(name) == width
