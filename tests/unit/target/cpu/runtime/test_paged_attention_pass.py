"""Blocks of the PagedAttention pass; tests/integration/test_paged_caches.py runs the graphs that it converts."""

from __future__ import annotations

from neuron_whisper.target.cpu.runtime.paged_attention_pass import BLOCK_SIZE, count_blocks


def test_blocks_hold_what_does_not_fill_them() -> None:
    assert [count_blocks(n) for n in (1, BLOCK_SIZE, BLOCK_SIZE + 1, 1500)] == [1, 1, 2, 47]
