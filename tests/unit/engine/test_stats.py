"""Statistics of engines: they add up, and have the buckets that Prometheus wants."""

from __future__ import annotations

from neuron_whisper.engine.stats import EngineStats, Histogram


def test_statistics_add_up_and_buckets_are_cumulative_as_prometheus_needs_them() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0):
        histogram.observe(value)
    assert list(histogram.snapshot.cumulative_counts()) == [(1.0, 2), (2.0, 3), (float("inf"), 4)]
    assert (histogram.snapshot + histogram.snapshot).total == 24
    stats = EngineStats(cancelled=1, fallbacks={"avg_logprob": 2})
    assert (stats + stats).cancelled == 2
    assert (stats + stats).fallbacks == {"avg_logprob": 4}
