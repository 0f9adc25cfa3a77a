"""What a server costs: seconds from start to ready, seconds of the first request, resident memory after it.

`python -m benchmarks.load.serving --artifact base --speech ../shared/speech/en_jfk.flac`
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Sequence
from pathlib import Path

POLL_INTERVAL_S = 0.01
READY_TIMEOUT_S = 120.0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--artifact", required=True)
    parser.add_argument("--speech", type=Path, required=True)
    given = parser.parse_args(arguments)
    started = time.perf_counter()
    server = subprocess.Popen(
        [sys.executable, "-m", "neuron_whisper", "serve", "--artifact", given.artifact, "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        url = _wait_for_url(server)
        _wait_until_ready(url, started + READY_TIMEOUT_S)
        ready_s = time.perf_counter() - started
        before = time.perf_counter()
        text = _transcribe(url, given.speech)
        request_s = time.perf_counter() - before
        report = {
            "artifact": given.artifact,
            "ready_s": round(ready_s, 2),
            "first_request_s": round(request_s, 2),
            "resident_mb": _read_resident_mb(server.pid),
            "text": text,
        }
    finally:
        server.terminate()
        server.communicate()
    sys.stdout.write(json.dumps(report, ensure_ascii=False) + "\n")
    return 0


def _wait_for_url(server: subprocess.Popen[str]) -> str:
    """Where the server says on stderr that it listens."""
    assert server.stderr is not None
    for line in server.stderr:
        if "http://" in line:
            return "http://" + line.split("http://")[1].split()[0].rstrip("/")
    raise SystemExit("the server ended before it listened")


def _wait_until_ready(url: str, deadline: float) -> None:
    while True:
        try:
            with urllib.request.urlopen(f"{url}/health/ready", timeout=5):
                return
        except OSError:
            if time.perf_counter() > deadline:
                raise
            time.sleep(POLL_INTERVAL_S)


def _transcribe(url: str, speech: Path) -> str:
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{speech.name}"\r\n\r\n'
    body = head.encode() + speech.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    request = urllib.request.Request(
        f"{url}/v1/audio/transcriptions", body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    )
    with urllib.request.urlopen(request, timeout=600) as answer:
        return str(json.load(answer)["text"])


def _read_resident_mb(pid: int) -> int:
    """Now, by /proc."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) // 1024


if __name__ == "__main__":
    sys.exit(main())
