"""Metrics of the decoder processes."""

from __future__ import annotations

from neuron_whisper.server.decoding.metrics import REASONS, DecodingCollector
from neuron_whisper.server.decoding.pool import DecodingStats


def test_every_reason_is_there_before_it_happened() -> None:
    stats = DecodingStats(busy=2, replaced=3)
    stats.refused["memory"] += 1
    found = {
        (it.name, it.labels.get("reason", "")): it.value
        for metric in DecodingCollector(stats).collect()
        for it in metric.samples
    }
    assert found["neuron_whisper_decoders_busy", ""] == 2
    assert found["neuron_whisper_decoders_replaced_total", ""] == 3
    assert {reason: found["neuron_whisper_decoding_refused_total", reason] for reason in REASONS} == {
        "crash": 0, "forged": 0, "killed": 0, "memory": 1, "processor": 0, "progress": 0,
    }  # fmt: skip
