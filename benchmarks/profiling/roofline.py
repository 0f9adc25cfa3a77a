"""Roofline: the share of this machine's matrix peak and memory bandwidth, both measured, that encode and decode reach.

`python -m benchmarks.profiling.roofline --artifact base`
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as op

from neuron_whisper.artifact.cache_directory import default_cache_directory
from neuron_whisper.artifact.loader import Artifact, check_artifact
from neuron_whisper.artifact.store import ArtifactStore
from neuron_whisper.decode.rules import ALLOW_ALL_RULES
from neuron_whisper.host import hardware
from neuron_whisper.planning.cost_model import RankCostModel
from neuron_whisper.target.interfaces import N_RULES, PrefillInputs, Session, StepInputs
from neuron_whisper.target.registry import load_target

ENCODE_GOAL, STEP_GOAL = 0.6, 0.6  # of the matrix peak, of the bandwidth
MATRIX = (1536, 2048, 2048)  # rows as many as a window has, larger than the caches
STREAM_BYTES = 256 * 2**20  # of each thread
PREFIX = 8  # tokens before the steps that are timed


@dataclass(frozen=True, slots=True, kw_only=True)
class MachinePeaks:
    """What the machine can do, per second; a precision that it lacks is not in `flops`."""

    flops: dict[str, float]
    bytes_per_s: float


def measure_peaks(threads: int, seconds: float = 2.0) -> MachinePeaks:
    """The best of as many tries as fit in `seconds` each: what others take of the machine is not its limit."""
    core = ov.Core()
    precisions = {"f32": "f32"}
    if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        precisions["bf16"] = "bf16"
    return MachinePeaks(
        flops={name: measure_matrix_flops(core, hint, threads, seconds) for name, hint in precisions.items()},
        bytes_per_s=measure_stream_bytes(threads, seconds),
    )


def measure_matrix_flops(core: ov.Core, precision: str, threads: int, seconds: float) -> float:
    """FLOP/s of a product with constant weights, as OpenVINO runs layers."""
    rows, inner, columns = MATRIX
    x = op.parameter([rows, inner], ov.Type.f32)
    weights = op.constant(np.full((inner, columns), 0.01, np.float32))
    model = ov.Model([op.matmul(x, weights, False, False)], [x])
    request = core.compile_model(
        model,
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": precision,
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(threads),
        },
    ).create_infer_request()
    request.set_input_tensor(0, ov.Tensor(np.ones((rows, inner), np.float32)))
    return 2.0 * rows * inner * columns / measure_best_s(request.infer, seconds)


def measure_stream_bytes(threads: int, seconds: float, size: int = STREAM_BYTES) -> float:
    """Bytes that all threads together read of memory in a second."""
    arrays = [np.ones(size // 4, np.float32) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        return threads * size / measure_best_s(lambda: list(pool.map(np.max, arrays)), seconds)


def measure_best_s(work: Callable[[], object], seconds: float) -> float:
    """The shortest of runs that take about `seconds` together, at least three."""
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def time_graphs(session: Session, runs: int) -> dict[str, list[float]]:
    """Seconds of each run: "encode 1", "decode 1", and "decode N" with every slot in use."""
    spec = session.spec
    mel = np.random.default_rng(0).standard_normal((1, spec.dims.n_mels, spec.dims.n_frames)).astype(np.float32)
    prompt = PrefillInputs(
        prompt=np.full(PREFIX, spec.special.sot, np.int32),
        sot_index=0,
        rules=ALLOW_ALL_RULES,
        suppressed=np.zeros(spec.dims.n_vocab, np.bool_),
    )
    for slot in range(spec.slots):
        session.encode([slot], mel)
        session.prefill(slot, prompt)
    times_of: dict[str, list[float]] = {"encode 1": []}
    for _ in range(max(3, runs // 8)):  # after the prompts: graphs are compiled while the first window is encoded
        started = time.perf_counter()
        session.encode([0], mel)
        times_of["encode 1"].append(time.perf_counter() - started)
    tokens, parents = np.full(spec.rows, spec.special.sot, np.int32), np.zeros(spec.rows, np.int32)
    rules = np.broadcast_to(ALLOW_ALL_RULES, (spec.rows, N_RULES)).copy()
    for slots in dict.fromkeys((1, spec.slots)):
        active = np.arange(spec.slots) < slots
        times = times_of.setdefault(f"decode {slots}", [])
        for step in range(min(runs, spec.text_context - PREFIX)):
            positions = np.full(spec.rows, PREFIX + step, np.int32)
            inputs = StepInputs(tokens=tokens, positions=positions, parents=parents, rules=rules, active=active)
            started = time.perf_counter()
            session.decode(inputs)
            times.append(time.perf_counter() - started)
    return times_of


def compute_shares(artifact: Artifact, times: dict[str, Sequence[float]], peaks: MachinePeaks) -> list[dict[str, Any]]:
    """A row for each graph: its FLOPs and bytes by the profile's data types, and its shares of both peaks."""
    profile = artifact.profile
    # arithmetic is as fast as the machine's fastest precision that the profile allows
    peak = peaks.flops.get("bf16", peaks.flops["f32"]) if profile.target.dtype != "float32" else peaks.flops["f32"]
    rows = []
    for name, seconds in times.items():
        kind, _, count = name.partition(" ")
        spec = replace(
            artifact.spec,
            slots=int(count) if kind == "decode" else 1,
            beams=1,
            choices=1,
            prompt_buckets=(4,),
            text_context=PREFIX + (len(seconds) - 1) // 2,  # what was written, in the middle
        )
        is_int8 = profile.weights.dtype == "int8"
        costs = RankCostModel(
            spec, tp=1, dtype=profile.target.dtype, weights_dtype="bfloat16" if is_int8 else profile.weights.dtype
        )
        cost = costs.estimate_encode(1) if kind == "encode" else costs.estimate_decode()
        if is_int8 and kind == "decode":  # the decoder's matrices alone are in 8 bit
            cost = replace(cost, weight_bytes=cost.weight_bytes // 2)
        took_s = median(seconds)
        rows.append(
            {
                "graph": name,
                "ms": round(1e3 * took_s, 3),
                "gflop": round(cost.flops / 1e9, 3),
                "mb": round(cost.bytes / 1e6, 1),
                "flops_share": round(cost.flops / took_s / peak, 4),
                "bandwidth_share": round(cost.bytes / took_s / peaks.bytes_per_s, 4),
            }
        )
    return rows


def format_table(rows: Sequence[dict[str, Any]], machine_peaks: MachinePeaks) -> str:
    peaks = ", ".join(f"{name} {flops / 1e9:.0f} GFLOP/s" for name, flops in machine_peaks.flops.items())
    lines = [
        f"Matrix products: {peaks}; memory: {machine_peaks.bytes_per_s / 1e9:.1f} GB/s read. Aims: encode "
        f"{100 * ENCODE_GOAL:.0f} % of the peak, a step of all slots {100 * STEP_GOAL:.0f} % of the bandwidth.",
        "",
        "| graph | ms | GFLOP | MB | % of peak | % of bandwidth |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {row['graph']} | {row['ms']:.2f} | {row['gflop']:.2f} | {row['mb']:.0f} | "
        f"{100 * row['flops_share']:.0f} | {100 * row['bandwidth_share']:.0f} |"
        for row in rows
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifact", required=True)
    parser.add_argument("--threads", type=int, default=0, help="0: all cores")
    parser.add_argument("--runs", type=int, default=64, help="decode steps; encode runs an eighth of it")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(arguments)
    threads = args.threads or hardware.count_usable_cores()
    artifact = ArtifactStore(default_cache_directory()).resolve(args.artifact)
    target = load_target(artifact.profile.target.name)
    check_artifact(artifact, target.toolchain())
    limits = measure_peaks(threads)
    session = target.open(artifact.path, artifact.spec, artifact.profile, threads=threads)
    try:
        rows = compute_shares(artifact, dict(time_graphs(session, args.runs)), limits)
    finally:
        session.close()
    if args.json is not None:
        document = {
            "artifact": artifact.name,
            "processor": hardware.read_processor_name(),
            "threads": threads,
            "flops": limits.flops,
            "bytes_per_s": limits.bytes_per_s,
            "rows": rows,
        }
        args.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(format_table(rows, limits) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
