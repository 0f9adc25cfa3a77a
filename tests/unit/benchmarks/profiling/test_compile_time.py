"""Time and memory of compiling."""

from __future__ import annotations

from benchmarks.profiling.compile_time import CompileRun, format_runs


def make_run(seconds: float, peak_bytes: int) -> CompileRun:
    return CompileRun(wall_s=seconds, cpu_s=2 * seconds, peak_bytes=peak_bytes, artifact_bytes=7_000_000)


def test_times_are_medians_and_memory_is_the_largest() -> None:
    runs = {"cpu": [make_run(3, 10**9), make_run(1, 2 * 10**9), make_run(2, 10**9)], "cpu-fast": [make_run(5, 10**8)]}
    assert format_runs("base", runs).splitlines()[2:] == [
        "| base | cpu | 2.0 | 4.0 | 2000 | 7 | 3 |",
        "| base | cpu-fast | 5.0 | 10.0 | 100 | 7 | 1 |",
    ]
