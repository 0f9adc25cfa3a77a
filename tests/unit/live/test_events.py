"""Events of a live session."""

from __future__ import annotations

from neuron_whisper.live.events import TextPiece, join_pieces


def test_pieces_join_to_text_without_the_leading_space() -> None:
    pieces = [TextPiece(text=text, tokens=(1,), logprobs=(-0.1,)) for text in (" And", " so", ",")]
    assert join_pieces(pieces) == "And so,"
    assert join_pieces([]) == ""
