"""How busy the machine was over a measurement, by Linux's /proc: load, processor time stolen by its host, frequency."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

PROC = Path("/proc")
QUIET_LOAD = 0.5  # a load average above it, before a run, is another program's


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuTimes:
    """Clock ticks of all processors since the machine started."""

    total: int
    idle: int
    stolen: int

    @classmethod
    def read(cls, stat: Path = PROC / "stat") -> Self | None:
        """None where there is no such file, or another one.

        "cpu  10 0 5 80 3 0 1 1 0 0": user, nice, system, idle, iowait, irq, softirq, steal; guests are among user.
        """
        try:
            name, *fields = stat.read_text(encoding="ascii").splitlines()[0].split()
            ticks = [int(field) for field in fields[:8]]
        except (OSError, ValueError, IndexError):
            return None
        if name != "cpu" or len(ticks) < 8:
            return None
        return cls(total=sum(ticks), idle=ticks[3] + ticks[4], stolen=ticks[7])


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuShares:
    """Of all processors' time between two readings: `busy` in programs of this machine, `stolen` by its host."""

    busy: float
    stolen: float

    @classmethod
    def between(cls, before: CpuTimes | None, after: CpuTimes | None) -> Self | None:
        """None where one is not known, or no time has passed."""
        if before is None or after is None or after.total <= before.total:
            return None
        total, stolen = after.total - before.total, after.stolen - before.stolen
        idle = after.idle - before.idle
        return cls(busy=(total - idle - stolen) / total, stolen=stolen / total)


def read_load() -> float:
    """The load average of the last minute."""
    return round(os.getloadavg()[0], 2)


def read_frequencies_mhz(cpuinfo: Path = PROC / "cpuinfo") -> list[float]:
    """The lowest and the highest of the processors now; empty where they are not known."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    found = [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
    return [min(found), max(found)] if found else []


def describe_shares(shares: CpuShares | None) -> dict[str, Any]:
    """For a report; empty where they are not known."""
    return {} if shares is None else {"busy_share": round(shares.busy, 4), "steal_share": round(shares.stolen, 4)}
