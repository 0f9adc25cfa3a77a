"""Host time of a decode step: what passes outside the device call, in the session and in the engine.

`python -m benchmarks.profiling.host_time --artifact base --speech ../shared/speech/en_long_LJ001_0001-0032.mp3`
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.artifact.cache_directory import default_cache_directory
from neuron_whisper.artifact.loader import check_artifact
from neuron_whisper.artifact.store import ArtifactStore
from neuron_whisper.audio.clip import WINDOW_FRAMES
from neuron_whisper.audio.load import load_audio
from neuron_whisper.audio.mel import LogMel
from neuron_whisper.decode.window import WindowRequest
from neuron_whisper.decode.window_options import WindowOptions
from neuron_whisper.engine.engine import Engine
from neuron_whisper.target.cpu.runtime.session import CpuSession
from neuron_whisper.target.interfaces import PrefillInputs, PrefillOutput, ProgramSpec, StepInputs, TopTokens
from neuron_whisper.target.registry import load_target
from neuron_whisper.text.tokenizer import Tokenizer

MAX_HOST_SHARE = 0.10  # of a step at all slots


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTiming:
    """A decode step of `slots` windows. `engine_s` passed since the step before it, which it followed at once."""

    slots: int
    device_s: float
    session_s: float
    engine_s: float


class TimedSession:
    """A CpuSession whose steps are timed; used by the engine's thread, read when that rests."""

    def __init__(self, session: CpuSession) -> None:
        self._session = session
        self.steps: list[StepTiming] = []
        self._last_step_end = 0.0  # when the step before ended; 0 where something else came between

    @property
    def spec(self) -> ProgramSpec:
        return self._session.spec

    def encode(self, slots: Sequence[int], mel: NDArray[np.float32]) -> None:
        self._last_step_end = 0.0
        self._session.encode(slots, mel)

    def prefill(self, slot: int, inputs: PrefillInputs) -> PrefillOutput:
        self._last_step_end = 0.0
        return self._session.prefill(slot, inputs)

    def decode(self, inputs: StepInputs) -> TopTokens:
        started, device_s = time.perf_counter(), self._session.device_s
        output = self._session.decode(inputs)
        ended = time.perf_counter()
        device_s = self._session.device_s - device_s
        if self._last_step_end:
            self.steps.append(
                StepTiming(
                    slots=int(inputs.active.sum()),
                    device_s=device_s,
                    session_s=ended - started - device_s,
                    engine_s=started - self._last_step_end,
                )
            )
        self._last_step_end = time.perf_counter()
        return output

    def logits(self, inputs: StepInputs) -> NDArray[np.float32]:
        self._last_step_end = 0.0
        return self._session.logits(inputs)

    def align(self, slot: int, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
        self._last_step_end = 0.0
        return self._session.align(slot, tokens)

    def close(self) -> None:
        self._session.close()


def summarize(steps: Sequence[StepTiming], slots: int) -> dict[str, Any] | None:
    """Medians in milliseconds over the steps of `slots` windows, and the share of the host; None without a step."""
    chosen = [step for step in steps if step.slots == slots]
    if not chosen:
        return None
    device, session, engine = (
        1e3 * median(getattr(step, part) for step in chosen) for part in ("device_s", "session_s", "engine_s")
    )
    host = session + engine
    return {
        "slots": slots,
        "steps": len(chosen),
        "device_ms": round(device, 3),
        "session_ms": round(session, 3),
        "engine_ms": round(engine, 3),
        "host_share": round(host / (host + device), 4),
    }


def format_table(rows: Sequence[dict[str, Any]]) -> str:
    lines = [
        "| windows | beams | steps | device ms | session ms | engine ms | host % |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {row['slots']} | {row['beams']} | {row['steps']} | {row['device_ms']:.2f} | {row['session_ms']:.2f} | "
        f"{row['engine_ms']:.2f} | {100 * row['host_share']:.1f} |"
        for row in rows
    ]
    return "\n".join(lines)


def measure(
    engine: Engine, session: TimedSession, requests: Sequence[WindowRequest], slots: int
) -> dict[str, Any] | None:
    """Decode the windows, `slots` at a time."""
    session.steps.clear()
    if slots == 1:
        for window in requests:
            engine.submit(window).result()
    else:
        futures = [engine.submit(window, is_first=False) for window in requests]
        wait(futures)
        for future in futures:
            future.result()
    return summarize(session.steps, slots)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifact", required=True, help="a stored artifact of the cpu target")
    parser.add_argument("--speech", type=Path, required=True, help="a recording; its windows are decoded")
    parser.add_argument("--language", default="en")
    parser.add_argument("--beam-size", type=int, default=1)
    parser.add_argument("--windows", type=int, default=32, help="decoded with all slots taken; a quarter alone")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--profile", action="store_true", help="show where the engine's thread spends its time")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(arguments)
    store = ArtifactStore(default_cache_directory())
    artifact = store.resolve(args.artifact)
    target = load_target(artifact.profile.target.name)
    check_artifact(artifact, target.toolchain())
    tokenizer = Tokenizer.from_layout(artifact.path / "tokenizer.json", artifact.spec.special)
    session = target.open(artifact.path, artifact.spec, artifact.profile, threads=args.threads)
    if not isinstance(session, CpuSession):
        raise SystemExit(f"{artifact.name} is not for the cpu target")
    watched = TimedSession(session)
    windows = _build_requests(args, artifact.spec, tokenizer)
    profiler = cProfile.Profile() if args.profile else None
    if profiler is not None:
        threading.setprofile(lambda *_: profiler.enable())  # each thread's first event begins its profile
    engine = Engine(watched, tokenizer)
    threading.setprofile(None)  # how it is taken back
    try:
        engine.submit(windows[0]).result()
        summaries = [
            measure(engine, watched, windows[: args.windows // 4], 1),
            measure(engine, watched, windows, artifact.spec.slots),
        ]
    finally:
        engine.close()
    rows = [{"beams": args.beam_size, **row} for row in summaries if row is not None]
    if args.json is not None:
        args.json.write_text(json.dumps({"artifact": artifact.name, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(format_table(rows) + "\n")
    if profiler is not None:
        profiler.create_stats()
        pstats.Stats(profiler, stream=sys.stdout).sort_stats("tottime").print_stats(30)
    return 0


def _build_requests(args: argparse.Namespace, spec: ProgramSpec, tokenizer: Tokenizer) -> list[WindowRequest]:
    mel = LogMel.from_samples(load_audio(args.speech).samples, spec.dims.n_mels)
    options = WindowOptions(
        language=args.language,
        task="transcribe",
        suppress_tokens=frozenset(tokenizer.get_suppress_tokens("-1")),
        temperatures=(0.0,),
        beam_size=args.beam_size if args.beam_size > 1 else None,
    )
    starts = range(0, max(1, mel.content_frames - WINDOW_FRAMES // 2), WINDOW_FRAMES)
    requests = [WindowRequest(mel=mel.cut_window(start, start + WINDOW_FRAMES), options=options) for start in starts]
    return [requests[n % len(requests)] for n in range(args.windows)]


if __name__ == "__main__":
    sys.exit(main())
