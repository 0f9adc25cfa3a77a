"""Load test of any server with OpenAI's audio API: latency, throughput, refusals and memory by number of clients.

`python -m benchmarks.load http://127.0.0.1:8000 --clients 1,8,64 --duration 60 --speech FOLDER`

Each client sends one request after another, each a random clip; one that is refused waits for Retry-After, at most
5 s. Exit code 1 when a request ends in anything but a transcript or such a refusal.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path

from benchmarks.load.clients import LoadConfig, MemoryRecorder, UploadClip, run_level
from benchmarks.load.report import draw_svg, format_markdown, summarize_level
from neuron_whisper.audio.load import load_audio
from neuron_whisper.errors import InputError

SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".webm")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="of a running server")
    parser.add_argument("--clients", default="1,4,16,64", help="numbers, one level after another")
    parser.add_argument("--duration", default="60", help="seconds: of each level, or one number for each")
    parser.add_argument("--speech", type=Path, required=True, nargs="+", help="recordings, or folders of them")
    parser.add_argument("--longest", type=float, default=35.0, help="leave out longer recordings, in seconds")
    parser.add_argument(
        "--field", action="append", default=[], metavar="NAME=VALUE", help="form field, may be repeated"
    )
    parser.add_argument("--key", help="sent as Authorization: Bearer")
    parser.add_argument("--pid", type=int, help="process id of a local server: its memory is reported")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds that a client waits for a response")
    parser.add_argument("--no-rest", action="store_true", help="refused clients send the next request at once")
    parser.add_argument("--seed", type=int, default=0, help="of the random choice of clips")
    parser.add_argument("--out", type=Path, help="folder for load.json, load.md and load.svg")
    args = parser.parse_args(arguments)
    fields = dict(it.partition("=")[::2] for it in args.field)
    fields.setdefault("model", "whisper-1")
    config = LoadConfig(
        url=args.url.rstrip("/"),
        fields=fields,
        key=args.key,
        timeout_s=args.timeout,
        respect_retry_after=not args.no_rest,
    )
    levels = []
    numbers = [int(part) for part in args.clients.split(",")]
    durations_s = [float(part) for part in args.duration.split(",")]
    if len(durations_s) not in (1, len(numbers)):
        parser.error(f"--duration {args.duration}: one number, or {len(numbers)} as --clients has")
    clips = read_clips(args.speech, longest_s=args.longest)
    for clients, duration_s in zip(numbers, cycle(durations_s), strict=False):
        memory = MemoryRecorder(args.pid) if args.pid else None
        answers = asyncio.run(
            run_level(config, clips, clients=clients, duration_s=duration_s, seed=args.seed, memory=memory)
        )
        levels.append(summarize_level(answers, clients=clients, duration_s=duration_s, memory=memory))
        sys.stderr.write(f"{json.dumps({**levels[-1], 'resident_mb': None})}\n")
    command = [*(sys.argv[1:] if arguments is None else arguments)]
    document = {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
        "clips": len(clips),
        "shortest_s": min(clip.duration_s for clip in clips),
        "longest_s": max(clip.duration_s for clip in clips),
        "command": " ".join(["python -m benchmarks.load", *command]),
        "levels": levels,
    }
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "load.json").write_text(json.dumps(document, indent=1) + "\n")
        (args.out / "load.md").write_text(format_markdown(document))
        (args.out / "load.svg").write_text(draw_svg(document))
    sys.stdout.write(format_markdown(document))
    return 1 if any(level["errors"] for level in levels) else 0


def read_clips(paths: Sequence[Path], *, longest_s: float) -> list[UploadClip]:
    """The recordings of files and folders that are no longer than that. Ends the program where there is none."""
    files = [
        file
        for path in paths
        for file in (sorted(path.iterdir()) if path.is_dir() else [path])
        if file.suffix.lower() in SUFFIXES
    ]
    clips = []
    for file in files:
        content = file.read_bytes()
        try:
            duration_s = load_audio(content).duration_s
        except InputError as error:
            sys.stderr.write(f"left out: {error}\n")
            continue
        if duration_s <= longest_s:
            clips.append(UploadClip(name=file.name, content=content, duration_s=duration_s))
    if not clips:
        raise SystemExit("there is no recording that short")
    return clips


if __name__ == "__main__":
    sys.exit(main())
