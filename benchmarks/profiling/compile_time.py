"""Time and memory of `neuron-whisper compile`, each run a process of its own with an empty cache directory.

`python -m benchmarks.profiling.compile_time --model base --profile cpu --profile cpu-exact` prints a table. The model
is fetched before. Times are medians, memory is the largest: the highest resident memory of the process.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from neuron_whisper.artifact.cache_directory import default_cache_directory
from neuron_whisper.bench.reporting.markdown import format_table
from neuron_whisper.errors import NeuronWhisperError, TargetUnavailable
from neuron_whisper.model.sources import resolve_model

PROFILES = ("cpu", "cpu-exact", "cpu-fast")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileRun:
    """`cpu_s` is of all threads; `artifact_bytes` are those of the files."""

    wall_s: float
    cpu_s: float
    peak_bytes: int
    artifact_bytes: int


def measure_compile(checkpoint: Path, profile: str) -> CompileRun:
    """Compile once, in an empty cache directory. Raises TargetUnavailable with the process's last line."""
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryFile() as log:
        command = [sys.executable, "-m", "neuron_whisper", "compile", "--model", str(checkpoint), "--profile", profile]
        started = time.perf_counter()
        process = subprocess.Popen([*command, "--cache", f"{scratch}/cache"], stdout=subprocess.DEVNULL, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)  # the usage of this child alone
        wall_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            log.seek(0)
            last = log.read().decode(errors="replace").strip().splitlines()[-1:]
            raise TargetUnavailable("compile", last[0] if last else f"it ended with {process.returncode}")
        artifact_bytes = sum(
            path.stat().st_size for path in Path(scratch, "cache", "artifacts").rglob("*") if path.is_file()
        )
    return CompileRun(
        wall_s=wall_s,
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_bytes=usage.ru_maxrss << 10,
        artifact_bytes=artifact_bytes,
    )


def format_runs(model: str, runs: dict[str, list[CompileRun]]) -> str:
    rows = [
        [
            model,
            profile,
            f"{median(it.wall_s for it in measured):.1f}",
            f"{median(it.cpu_s for it in measured):.1f}",
            f"{max(it.peak_bytes for it in measured) / 1e6:.0f}",
            f"{measured[-1].artifact_bytes / 1e6:.0f}",
            str(len(measured)),
        ]
        for profile, measured in runs.items()
    ]
    return format_table(["model", "profile", "s", "processor s", "peak MB", "artifact MB", "runs"], rows, left=2)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="base", help="name or path  [default: base]")
    parser.add_argument("--profile", action="append", default=[], help=f"may be repeated  [{', '.join(PROFILES)}]")
    parser.add_argument("--runs", type=int, default=1, help="the profiles take turns in each  [default: 1]")
    args = parser.parse_args(arguments)
    runs: dict[str, list[CompileRun]] = {profile: [] for profile in args.profile or PROFILES}
    try:
        checkpoint = resolve_model(args.model, cache=default_cache_directory())
        for _ in range(args.runs):
            for profile, measured in runs.items():
                measured.append(measure_compile(checkpoint, profile))
                sys.stderr.write(f"{profile}: {measured[-1].wall_s:.1f} s\n")
    except NeuronWhisperError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(format_runs(Path(args.model).name, runs) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
