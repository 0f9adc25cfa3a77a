"""Processor times and frequencies as Linux writes them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.process.machine_load import (
    CpuShares,
    CpuTimes,
    describe_shares,
    read_frequencies_mhz,
    read_load,
)


def write_stat(path: Path, line: str) -> Path:
    path.write_text(f"{line}\ncpu0 1 2 3 4 5 6 7 8 9 10\nintr 12345\n")
    return path


def test_guests_are_not_counted_twice_and_waiting_for_disks_is_idle(tmp_path: Path) -> None:
    # user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice
    times = CpuTimes.read(write_stat(tmp_path / "stat", "cpu  100 1 20 300 40 5 6 7 90 1"))
    assert times == CpuTimes(total=479, idle=340, stolen=7)


@pytest.mark.parametrize("line", ["", "cpu", "cpu 1 2 3", "cpu a b c d e f g h", "intr 1 2 3 4 5 6 7 8 9"])
def test_another_file_says_nothing(line: str, tmp_path: Path) -> None:
    (tmp_path / "stat").write_text(line)
    assert CpuTimes.read(tmp_path / "stat") is None


def test_without_the_files_nothing_is_known(tmp_path: Path) -> None:
    assert CpuTimes.read(tmp_path / "stat") is None
    assert read_frequencies_mhz(tmp_path / "cpuinfo") == []
    (tmp_path / "cpuinfo").write_text("processor : 0\nBogoMIPS : 200\n")  # as on ARM
    assert read_frequencies_mhz(tmp_path / "cpuinfo") == []
    assert describe_shares(CpuShares.between(None, CpuTimes(total=1, idle=0, stolen=0))) == {}


def test_shares_are_of_the_time_between_two_readings() -> None:
    before, after = CpuTimes(total=1000, idle=500, stolen=10), CpuTimes(total=1200, idle=560, stolen=30)
    assert CpuShares.between(before, after) == CpuShares(busy=0.6, stolen=0.1)
    assert CpuShares.between(after, after) is None
    assert describe_shares(CpuShares.between(before, after)) == {"busy_share": 0.6, "steal_share": 0.1}


@given(*[st.integers(0, 10**9)] * 3)
def test_busy_idle_and_stolen_are_the_whole(busy: int, idle: int, stolen: int) -> None:
    start = CpuTimes(total=7, idle=3, stolen=1)
    end = CpuTimes(total=7 + busy + idle + stolen, idle=3 + idle, stolen=1 + stolen)
    shares = CpuShares.between(start, end)
    assert (shares is None) is (busy + idle + stolen == 0)
    if shares is not None:
        assert 0 <= shares.busy <= 1
        assert shares.busy + shares.stolen + idle / (end.total - start.total) == pytest.approx(1)


def test_frequencies_are_the_lowest_and_the_highest(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("cpu MHz\t\t: 3100.5\nflags : a b\n\ncpu MHz\t\t: 2400.0\n")
    assert read_frequencies_mhz(tmp_path / "cpuinfo") == [2400.0, 3100.5]


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's /proc")
def test_this_machine_has_times_that_grow_and_a_load() -> None:
    first = CpuTimes.read()
    assert first is not None
    sum(range(3_000_000))
    second = CpuTimes.read()
    assert second is not None
    assert first.total <= second.total
    assert first.idle + first.stolen < first.total
    assert read_load() >= 0
