"""Four times the clients that a server can serve: who is served, how fast, and how fast the others are refused.

    python -m tests.overload [--step-ms 40] [--max-wait-s 1]

The server is a process of its own, and its device a clock: a step takes its time and hardly any processor, so that
what is measured is the server and not the machine. Refused clients come back as they are told; at 1 x there is one
for each slot.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from neuron_whisper.bench.load_clients import Asked, Clip, run_level
from neuron_whisper.bench.load_report import figures, markdown
from neuron_whisper.server import ServerSettings, serve
from neuron_whisper.target.contract import Choices
from tests.fake_session import FakeSession
from tests.servers import tone, transcriber, wait_for


def clocked(session: FakeSession, step_s: float) -> None:
    """Make each step of the session take so long."""
    decode = session.decode

    def slow(*given: NDArray[Any]) -> Choices:
        time.sleep(step_s)
        return decode(*given)

    session.decode = slow  # type: ignore[method-assign, assignment]  # a known time


def _serve(given: argparse.Namespace) -> None:
    served, session = transcriber(slots=given.slots)
    clocked(session, given.step_ms / 1e3)
    settings = ServerSettings(port=0, vad_filter=False, max_wait_s=given.max_wait_s, drain_s=1)
    serve(served, settings, on_listening=lambda url: print(url, flush=True))  # noqa: T201  # our parent reads it


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--step-ms", type=float, default=40.0)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--max-wait-s", type=float, default=1.0)
    parser.add_argument("--duration", type=float, default=30.0)
    parser.add_argument("--serve", action="store_true", help="be the server")
    given = parser.parse_args(arguments)
    if given.serve:
        _serve(given)
        return 0
    clips = [Clip(name="tone.wav", content=tone(hertz, 1.0), duration_s=1.0) for hertz in range(200, 900, 50)]
    levels = []
    words = sys.argv[1:] if arguments is None else list(arguments)
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.overload", "--serve", *words], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        for times in (1, 2, 4, 8):
            asked = Asked(url=url, fields={"model": "whisper-1"})
            answers = asyncio.run(run_level(asked, clips, clients=times * given.slots, duration_s=given.duration))
            levels.append(figures(answers, clients=times * given.slots, duration_s=given.duration, memory=None))
            wait_for(url, requests=0, waiting=0, decoding=0)
    finally:
        server.terminate()
        server.communicate()
    command = f"python -m tests.overload --step-ms {given.step_ms:g} --max-wait-s {given.max_wait_s:g}"
    document = {
        "levels": levels, "clips": len(clips), "shortest_s": 1.0, "longest_s": 1.0, "date": "", "command": command,
    }  # fmt: skip
    sys.stdout.write(markdown(document))
    return 1 if any(level["errors"] for level in levels) else 0


if __name__ == "__main__":
    sys.exit(main())
