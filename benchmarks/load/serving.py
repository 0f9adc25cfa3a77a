"""Measures the start of a server: seconds to ready, seconds of the first request, resident memory after it.

`python -m benchmarks.load.serving --artifact base --speech SPEECH.flac`
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.process.requests import transcribe_file
from benchmarks.process.usage import resident_memory_bytes
from neuron_whisper.bench.process.server import ServerProcess


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifact", required=True, help="a stored artifact, as `neuron-whisper serve` takes it")
    parser.add_argument("--speech", type=Path, required=True, help="a recording, sent as the first request")
    args = parser.parse_args(arguments)
    command = [sys.executable, "-m", "neuron_whisper", "serve", "--artifact", args.artifact, "--port", "0"]
    with ServerProcess(command, ready_path="/health/ready") as server:
        started = time.perf_counter()
        text = transcribe_file(server.url, args.speech, {"model": "whisper-1"})
        report = {
            "artifact": args.artifact,
            "ready_s": round(server.ready_s, 2),
            "first_request_s": round(time.perf_counter() - started, 2),
            "resident_mb": resident_memory_bytes(server.pid) >> 20,
            "text": text,
        }
    sys.stdout.write(json.dumps(report, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
