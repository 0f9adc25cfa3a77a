"""`python -m benchmarks.goals`: the goals beside the peers, in one run; `make bench-peers` calls it."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.goals.markdown import format_markdown
from benchmarks.goals.measure import REQUESTS_PER_CLIENT, RowBenchmark
from benchmarks.goals.picture import draw_svg
from benchmarks.goals.report import FORMAT, build_row_report, judge_goals, merge_reports
from benchmarks.goals.rows import ROWS, Row, select_rows
from benchmarks.goals.speech import Speech, prepare_speech
from benchmarks.goals.systems import Systems
from neuron_whisper import __version__
from neuron_whisper.artifact.cache_directory import default_cache_directory
from neuron_whisper.artifact.store import ArtifactStore
from neuron_whisper.bench.accuracy.manifest import RowFilter, read_utterances
from neuron_whisper.bench.accuracy.metrics import count_word_errors
from neuron_whisper.bench.engines.peers import parse_peer_pythons
from neuron_whisper.errors import InvalidOption, NeuronWhisperError
from neuron_whisper.host import hardware
from neuron_whisper.model.checkpoint import open_checkpoint
from neuron_whisper.model.sources import resolve_model


def main(arguments: Sequence[str] | None = None) -> int:
    given = _create_parser().parse_args(arguments)
    try:
        document = (
            merge_reports([json.loads(path.read_text(encoding="utf-8")) for path in given.merge])
            if given.merge
            else (_measure(given))
        )
    except NeuronWhisperError as error:
        _log(f"error: {error}")
        return 1
    _write_reports(given, document)
    sys.stdout.write(format_markdown(document))
    return 0


def _create_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.goals", description=__doc__)
    parser.add_argument("speech", nargs="?", type=Path, help="a manifest, as of `neuron-whisper bench`")
    parser.add_argument(
        "--artifact",
        action="append",
        default=[],
        metavar="[LABEL=]REF",
        help="ours, the first is judged; a directory of the store or what names one; may be repeated",
    )
    parser.add_argument("--model", help="whose weights peers run  [default: the first artifact's]")
    parser.add_argument("--peer-python", action="append", default=[], metavar="[NAME=]PYTHON")
    parser.add_argument("--rows", default="", metavar="A,B", help=", ".join(row.name for row in ROWS))
    parser.add_argument("--quick", action="store_true", help="fewer clips, one run, five minutes for the hour")
    parser.add_argument("--runs", type=int, help="medians over so many  [default: 3; 1 for the hour]")
    parser.add_argument("--clips", type=int, help="short clips  [default: 16; quick: 6]")
    parser.add_argument("--hour-s", type=float, help="seconds of the hour  [default: 3600; quick: 300]")
    parser.add_argument("--long-s", type=float, help="the longest file is at most so long  [default: 600; quick: 60]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="each system has; 0: all cores")
    parser.add_argument("--where", action="append", default=[], metavar="COLUMN=VALUE")
    parser.add_argument("--skip", action="append", default=[], metavar="PATTERN")
    parser.add_argument("--language", default="en")
    parser.add_argument("--merge", nargs="+", type=Path, default=[], metavar="JSON", help="measure nothing, join these")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--picture", type=Path)
    return parser


def _measure(args: argparse.Namespace) -> dict[str, Any]:
    """Written after each row, so that an end half-way loses one row alone. Raises NeuronWhisperError."""
    count_word_errors("a", "b", "en")  # what scoring needs is missing now, not after the measurement
    if args.speech is None or not args.artifact:
        raise InvalidOption("arguments", "", "a manifest and --artifact, or --merge")
    rows = select_rows(name for name in args.rows.split(",") if name)
    short, hour_s, long_s = (
        args.clips or (6 if args.quick else 16),
        args.hour_s or (300 if args.quick else 3600),
        args.long_s or (60 if args.quick else 600),
    )
    choice = RowFilter(
        language=args.language, where=tuple(_parse_pair(text) for text in args.where), skip=tuple(args.skip)
    )
    spoken, _ = read_utterances([args.speech], choice)
    systems = _open_systems(args)
    document: dict[str, Any] = {"format": FORMAT, **_describe_run(args), "rows": []}
    with tempfile.TemporaryDirectory() as scratch:
        needs_hour = any(row.speech == "hour" for row in rows)
        speech = prepare_speech(
            spoken, Path(scratch), short=short, long_s=long_s, hour_s=hour_s if needs_hour else 0, seed=args.seed
        )
        bench = RowBenchmark(systems=systems, speech=speech, scratch=Path(scratch), runs=1, log=_log)
        for row in rows:
            _measure_row(args, bench, row, document)
    return document


def _measure_row(args: argparse.Namespace, bench: RowBenchmark, row: Row, document: dict[str, Any]) -> None:
    """Adds the row to the document, and what it tells of versions."""
    bench.runs = args.runs or (1 if args.quick or row.speech == "hour" else 3)
    recordings = bench.speech.select(row.speech)
    load, *_ = os.getloadavg()
    results = bench.measure(row)
    about = {
        "load_before": round(load, 2),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "requests_audio_s": round(_total_audio_s(row, bench.speech), 1),
    }
    document["rows"].append(build_row_report(row, recordings, results, about))
    for result in results:
        versions = result.facts.get("versions", {})
        assert isinstance(versions, dict)
        for package, number in versions.items():
            document["versions"].setdefault(package, number)
    _write_reports(args, document)


def _total_audio_s(row: Row, speech: Speech) -> float:
    """How much audio the row's seconds are of."""
    recordings = speech.select(row.speech)
    times = 1 if row.at_once == 1 else -(-REQUESTS_PER_CLIENT * row.at_once // len(recordings))
    return times * sum(it.duration_s for it in recordings)


def _open_systems(args: argparse.Namespace) -> Systems:
    cache = default_cache_directory()
    store = ArtifactStore(cache)
    artifacts = []
    for told in args.artifact:
        label, equals, reference = told.partition("=")
        artifact = store.resolve(reference if equals else label)
        artifacts.append((label if equals else artifact.name, artifact))
    model = args.model or artifacts[0][1].manifest.model
    return Systems(
        artifacts=tuple(artifacts),
        checkpoint=open_checkpoint(resolve_model(model, cache=cache)),
        cache=cache,
        pythons=parse_peer_pythons(tuple(args.peer_python)),
        threads=args.threads or hardware.count_usable_cores(),
        log=_log,
    )


def _describe_run(args: argparse.Namespace) -> dict[str, Any]:
    memory_bytes, _ = hardware.read_memory_bytes()
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": _format_command(args),
        "machine": {
            "processor": hardware.read_processor_name(),
            "architecture": platform.machine(),
            "cores": hardware.count_usable_cores(),
            "memory_bytes": memory_bytes,
            "instruction_sets": list(hardware.detect_instruction_sets()),
        },
        "threads": args.threads or hardware.count_usable_cores(),
        "seed": args.seed,
        "versions": {"neuron-whisper": __version__, "openvino": version("openvino")},
    }


def _format_command(args: argparse.Namespace) -> str:
    """What decides the figures; where files lie on this machine is nobody's business."""
    told = [f"--rows {args.rows}" if args.rows else "", "--quick" if args.quick else ""]
    told += [
        f"--{name.replace('_', '-')} {value}"
        for name in ("runs", "clips", "hour_s", "long_s", "seed", "threads")
        if (value := getattr(args, name))
    ]
    told = [it for it in told if it]
    return "make bench-peers" + (f" GOALS={shlex.quote(' '.join(told))}" if told else "")


def _write_reports(args: argparse.Namespace, document: dict[str, Any]) -> None:
    if args.json is not None:
        text = json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
        args.json.write_text(text, encoding="utf-8")
    if args.markdown is not None:
        args.markdown.write_text(format_markdown(document), encoding="utf-8")
    if args.picture is not None:
        args.picture.write_text(draw_svg(judge_goals(document)), encoding="utf-8")


def _parse_pair(text: str) -> tuple[str, str]:
    column, equals, value = text.partition("=")
    if not equals:
        raise InvalidOption("--where", text, "COLUMN=VALUE, as kind=real")
    return column, value


def _log(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
