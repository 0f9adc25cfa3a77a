"""`make overload`: up to eight times the clients that a server has slots for: latencies, and the time to refusals.

    python -m tests.chaos.overload [--step-ms 40] [--max-wait-s 0.3]

The server is a process of its own whose device only sleeps: a step takes its time and hardly any processor, so that
the server is measured and not the machine. Refused clients obey Retry-After; at 1x there is one client per slot. Exits
with 1 when a request is neither served nor refused, a refusal takes longer than a second, or the p95 latency exceeds
that at 1x by more than `max_wait_s` and the time of a window, which a request may wait for a slot.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.load.clients import LoadConfig, UploadClip, run_level
from benchmarks.load.report import format_markdown, summarize_level
from neuron_whisper.server import ServerSettings, serve
from neuron_whisper.target.interfaces import StepInputs, TopTokens
from tests.support.fake_session import FakeSession
from tests.support.servers import make_transcriber, tone, wait_for

REJECTED_WITHIN_S = 1.0


def slow_down_steps(session: FakeSession, step_s: float) -> None:
    """Make each decode step of the session take `step_s`."""
    decode = session.decode

    def slow(inputs: StepInputs) -> TopTokens:
        time.sleep(step_s)
        return decode(inputs)

    session.decode = slow  # type: ignore[method-assign]  # to give steps a known time


def _serve(given: argparse.Namespace) -> None:
    served, session = make_transcriber(slots=given.slots)
    slow_down_steps(session, given.step_ms / 1e3)
    settings = ServerSettings(port=0, vad_filter=False, max_wait_s=given.max_wait_s, drain_s=1)
    serve(served, settings, on_listening=lambda url: print(url, flush=True))  # noqa: T201  # the parent process reads it


def find_failures(levels: Sequence[Mapping[str, Any]], max_wait_s: float) -> list[str]:
    """Descriptions of what is wrong. The first level is the one without overload."""
    baseline = levels[0]["latency_s"]
    failures = []
    for level in levels:
        name = f"{level['clients']} clients"
        if level["errors"]:
            failures.append(f"{name}: {level['errors']}")
        if level["refusal_s"].get("max", 0.0) > REJECTED_WITHIN_S:
            failures.append(f"{name}: refused after {level['refusal_s']['max']} s")
        allowed_s = baseline["p95"] + max_wait_s + baseline["p50"]
        if level["latency_s"]["p95"] > allowed_s:
            failures.append(f"{name}: p95 {level['latency_s']['p95']} s, allowed are {allowed_s:.2f} s")
    return failures


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--step-ms", type=float, default=40.0)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--max-wait-s", type=float, default=0.3)
    parser.add_argument("--duration", type=float, default=30.0)
    parser.add_argument("--serve", action="store_true", help="run the server (internal)")
    given = parser.parse_args(arguments)
    if given.serve:
        _serve(given)
        return 0
    clips = [UploadClip(name="tone.wav", content=tone(hertz, 1.0), duration_s=1.0) for hertz in range(200, 900, 50)]
    levels = []
    words = sys.argv[1:] if arguments is None else list(arguments)
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.overload", "--serve", *words], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        for times in (1, 2, 4, 8):
            config = LoadConfig(url=url, fields={"model": "whisper-1"})
            results = asyncio.run(run_level(config, clips, clients=times * given.slots, duration_s=given.duration))
            levels.append(summarize_level(results, clients=times * given.slots, duration_s=given.duration, memory=None))
            wait_for(url, requests=0, waiting=0, decoding=0)
    finally:
        server.terminate()
        server.communicate()
    command = f"python -m tests.chaos.overload --step-ms {given.step_ms:g} --max-wait-s {given.max_wait_s:g}"
    document = {
        "levels": levels,
        "clips": len(clips),
        "shortest_s": 1.0,
        "longest_s": 1.0,
        "date": "",
        "command": command,
    }
    sys.stdout.write(format_markdown(document))
    failures = find_failures(levels, given.max_wait_s)
    for line in failures:
        sys.stderr.write(f"failed: {line}\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
