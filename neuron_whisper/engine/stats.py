"""What an engine has done since its start, in numbers that add up over workers."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields

# Upper bounds of what is counted together, in seconds; above the last one is a count of its own.
CALL_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
WAIT_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
ROW_BOUNDS = (1.0, 2.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0)


@dataclass(frozen=True, slots=True)
class Distribution:
    """How many values lie up to each bound and above the one before, and their sum."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float = 0.0

    @classmethod
    def of(cls, bounds: tuple[float, ...]) -> Distribution:
        return cls(bounds, (0,) * (len(bounds) + 1))

    def __add__(self, other: Distribution) -> Distribution:
        counts = tuple(a + b for a, b in zip(self.counts, other.counts, strict=True))
        return Distribution(self.bounds, counts, self.total + other.total)

    def cumulative(self) -> Iterator[tuple[float, int]]:
        """(bound, values up to it), the last bound infinity: Prometheus' buckets."""
        return zip((*self.bounds, float("inf")), itertools.accumulate(self.counts), strict=True)


class Tally:
    """A distribution that grows. One thread adds, any may look."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds, self._counts, self._total = bounds, [0] * (len(bounds) + 1), 0.0

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    @property
    def now(self) -> Distribution:
        return Distribution(self._bounds, tuple(self._counts), self._total)


def _calls() -> Distribution:
    return Distribution.of(CALL_BOUNDS_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCounts:
    """Seconds of the device's calls by kind, seconds that windows waited for a slot, rows of each decode step.

    `cancelled` are windows that nobody waited for to the end, `tokens` those of windows delivered, `gates` says how
    often a temperature's text was not taken, by the reason.
    """

    encode_s: Distribution = field(default_factory=_calls)
    prefill_s: Distribution = field(default_factory=_calls)
    step_s: Distribution = field(default_factory=_calls)
    align_s: Distribution = field(default_factory=_calls)
    wait_s: Distribution = field(default_factory=lambda: Distribution.of(WAIT_BOUNDS_S))
    rows: Distribution = field(default_factory=lambda: Distribution.of(ROW_BOUNDS))
    cancelled: int = 0
    tokens: int = 0
    gates: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: EngineCounts) -> EngineCounts:
        sums = {it.name: getattr(self, it.name) + getattr(other, it.name) for it in fields(self) if it.name != "gates"}
        return EngineCounts(**sums, gates=dict(Counter(self.gates) + Counter(other.gates)))


class EngineTallies:
    """The counts of an engine, which grow. The engine's thread writes them; `now` is for any thread."""

    def __init__(self) -> None:
        self.encode_s, self.prefill_s, self.step_s, self.align_s = (Tally(CALL_BOUNDS_S) for _ in range(4))
        self.wait_s, self.rows = Tally(WAIT_BOUNDS_S), Tally(ROW_BOUNDS)
        self.cancelled = self.tokens = 0
        self.gates: Counter[str] = Counter()

    @property
    def now(self) -> EngineCounts:
        return EngineCounts(
            encode_s=self.encode_s.now,
            prefill_s=self.prefill_s.now,
            step_s=self.step_s.now,
            align_s=self.align_s.now,
            wait_s=self.wait_s.now,
            rows=self.rows.now,
            cancelled=self.cancelled,
            tokens=self.tokens,
            gates=dict(self.gates),
        )
