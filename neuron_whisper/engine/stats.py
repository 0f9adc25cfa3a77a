"""Counters and histograms of an engine since its start, which can be added over workers."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields

# Upper bounds of the buckets, in seconds; values above the last one are in a bucket of their own.
CALL_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
WAIT_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
ROW_BUCKETS = (1.0, 2.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0)


@dataclass(frozen=True, slots=True)
class HistogramSnapshot:
    """How many values lie in each bucket, above one bound and up to the next, and the sum of the values."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float = 0.0

    @classmethod
    def empty(cls, bounds: tuple[float, ...]) -> HistogramSnapshot:
        return cls(bounds, (0,) * (len(bounds) + 1))

    def __add__(self, other: HistogramSnapshot) -> HistogramSnapshot:
        counts = tuple(a + b for a, b in zip(self.counts, other.counts, strict=True))
        return HistogramSnapshot(self.bounds, counts, self.total + other.total)

    def cumulative_counts(self) -> Iterator[tuple[float, int]]:
        """(bound, number of values up to it), the last bound infinity: Prometheus' buckets."""
        return zip((*self.bounds, float("inf")), itertools.accumulate(self.counts), strict=True)


class Histogram:
    """A histogram that grows. One thread observes values, any thread takes snapshots."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds, self._counts, self._total = bounds, [0] * (len(bounds) + 1), 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    @property
    def snapshot(self) -> HistogramSnapshot:
        return HistogramSnapshot(self._bounds, tuple(self._counts), self._total)


def _empty_call_histogram() -> HistogramSnapshot:
    return HistogramSnapshot.empty(CALL_BUCKETS_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStats:
    """Seconds of the device's calls by kind, seconds that windows waited for a slot, rows of each decode step.

    `cancelled` counts cancelled windows, `tokens` the tokens of completed ones, `fallbacks` how often a temperature's
    text was rejected, by the reason.
    """

    encode_s: HistogramSnapshot = field(default_factory=_empty_call_histogram)
    prefill_s: HistogramSnapshot = field(default_factory=_empty_call_histogram)
    step_s: HistogramSnapshot = field(default_factory=_empty_call_histogram)
    align_s: HistogramSnapshot = field(default_factory=_empty_call_histogram)
    wait_s: HistogramSnapshot = field(default_factory=lambda: HistogramSnapshot.empty(WAIT_BUCKETS_S))
    rows: HistogramSnapshot = field(default_factory=lambda: HistogramSnapshot.empty(ROW_BUCKETS))
    cancelled: int = 0
    tokens: int = 0
    fallbacks: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: EngineStats) -> EngineStats:
        names = [it.name for it in fields(self) if it.name != "fallbacks"]
        sums = {name: getattr(self, name) + getattr(other, name) for name in names}
        return EngineStats(**sums, fallbacks=dict(Counter(self.fallbacks) + Counter(other.fallbacks)))


class EngineStatsRecorder:
    """Collects an engine's statistics. The engine's thread writes them; any thread may take a `snapshot`."""

    def __init__(self) -> None:
        self.encode_s, self.prefill_s, self.step_s, self.align_s = (Histogram(CALL_BUCKETS_S) for _ in range(4))
        self.wait_s, self.rows = Histogram(WAIT_BUCKETS_S), Histogram(ROW_BUCKETS)
        self.cancelled = self.tokens = 0
        self.fallbacks: Counter[str] = Counter()

    @property
    def snapshot(self) -> EngineStats:
        return EngineStats(
            encode_s=self.encode_s.snapshot,
            prefill_s=self.prefill_s.snapshot,
            step_s=self.step_s.snapshot,
            align_s=self.align_s.snapshot,
            wait_s=self.wait_s.snapshot,
            rows=self.rows.snapshot,
            cancelled=self.cancelled,
            tokens=self.tokens,
            fallbacks=dict(self.fallbacks),
        )
