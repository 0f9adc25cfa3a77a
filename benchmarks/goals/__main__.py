"""`python -m benchmarks.goals`: measures the goals against peers in one run; `make bench-peers` calls it.

Exit code 0: every goal of the measured rows and profiles is met. 1: one is missed. 2: the command is refused. 3: none
is missed, but one could not be judged, since its peer was not measured, or no measured profile has goals.
"""

from __future__ import annotations

import argparse
import json
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
from benchmarks.goals.report import (
    FORMAT,
    build_row_report,
    choose_exit_code,
    judge_goals,
    merge_reports,
    read_report,
)
from benchmarks.goals.rows import ROWS, Row, select_rows
from benchmarks.goals.speech import Speech, prepare_speech
from benchmarks.goals.svg_chart import draw_svg
from benchmarks.goals.systems import Systems
from benchmarks.process.machine_load import CpuShares, CpuTimes, describe_shares, read_frequencies_mhz, read_load
from neuron_whisper import __version__
from neuron_whisper.artifact.cache_directory import default_cache_directory
from neuron_whisper.artifact.store import ArtifactStore
from neuron_whisper.bench.accuracy.manifest import RowFilter, read_utterances
from neuron_whisper.bench.accuracy.metrics import count_word_errors
from neuron_whisper.bench.accuracy.run_facts import describe_machine
from neuron_whisper.bench.engines.peers import parse_peer_pythons
from neuron_whisper.errors import InvalidOption, NeuronWhisperError
from neuron_whisper.host import hardware
from neuron_whisper.model.checkpoint import open_checkpoint
from neuron_whisper.model.sources import resolve_model


def main(arguments: Sequence[str] | None = None) -> int:
    args = _create_parser().parse_args(arguments)
    try:
        document = merge_reports([read_report(path) for path in args.merge]) if args.merge else _measure(args)
    except NeuronWhisperError as error:
        _log(f"error: {error}")
        return 2
    _write_reports(args, document)
    sys.stdout.write(format_markdown(document))
    return choose_exit_code(judge_goals(document))


def _create_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.goals", description=__doc__)
    parser.add_argument("manifest", nargs="?", type=Path, metavar="MANIFEST", help="as of `neuron-whisper bench`")
    parser.add_argument(
        "--artifact",
        action="append",
        default=[],
        metavar="[LABEL=]REF",
        help="stored artifact of neuron-whisper, by name or path; may be repeated. LABEL: the profile to judge it as",
    )
    parser.add_argument("--model", help="model that peers run  [default: the first artifact's]")
    parser.add_argument(
        "--peer-python", action="append", default=[], metavar="[NAME=]PYTHON", help="python that has a peer, or all"
    )
    parser.add_argument("--rows", default="", metavar="A,B", help=", ".join(row.name for row in ROWS))
    parser.add_argument("--quick", action="store_true", help="fewer clips, one run, five minutes for the hour")
    parser.add_argument("--runs", type=int, help="number of runs; medians are reported  [default: 3; 1 for the hour]")
    parser.add_argument("--clips", type=int, help="number of short clips  [default: 16; quick: 6]")
    parser.add_argument("--hour-s", type=float, help="length of the hour in seconds  [default: 3600; quick: 300]")
    parser.add_argument("--long-s", type=float, help="longest file in seconds  [default: 600; quick: 60]")
    parser.add_argument("--seed", type=int, default=0, help="of the hour's order and gaps")
    parser.add_argument("--threads", type=int, default=0, help="threads per system; 0 = all cores")
    parser.add_argument("--where", action="append", default=[], metavar="COLUMN=VALUE", help="only these rows")
    parser.add_argument("--skip", action="append", default=[], metavar="PATTERN", help="skip these files")
    parser.add_argument(
        "--load-before", type=float, metavar="LOAD", help="load average before anything of this run  [default: now]"
    )
    parser.add_argument("--language", default="en", help="measure only the clips in it")
    parser.add_argument("--merge", nargs="+", type=Path, default=[], metavar="JSON", help="join these reports instead")
    parser.add_argument("--json", type=Path, help="write the report here")
    parser.add_argument("--markdown", type=Path, help="write the tables here")
    parser.add_argument("--picture", type=Path, help="write the SVG chart here")
    return parser


def _measure(args: argparse.Namespace) -> dict[str, Any]:
    """The measured report; written after each row, so that an interruption loses one row only.

    Raises NeuronWhisperError.
    """
    count_word_errors("a", "b", "en")  # a missing package fails here, not after the measurement
    if args.manifest is None or not args.artifact:
        raise InvalidOption("MANIFEST", args.manifest, "a manifest and --artifact, or --merge")
    rows = select_rows(name for name in args.rows.split(",") if name)
    short, hour_s, long_s = (
        args.clips or (6 if args.quick else 16),
        args.hour_s or (300 if args.quick else 3600),
        args.long_s or (60 if args.quick else 600),
    )
    row_filter = RowFilter(
        language=args.language, where=tuple(_parse_pair(text) for text in args.where), skip=tuple(args.skip)
    )
    utterances, _ = read_utterances([args.manifest], row_filter)
    document: dict[str, Any] = {"format": FORMAT, **_describe_run(args), "rows": []}
    systems, started = _open_systems(args), CpuTimes.read()
    with tempfile.TemporaryDirectory() as scratch:
        needs_hour = any(row.speech == "hour" for row in rows)
        speech = prepare_speech(
            utterances, Path(scratch), short=short, long_s=long_s, hour_s=hour_s if needs_hour else 0, seed=args.seed
        )
        bench = RowBenchmark(systems=systems, speech=speech, scratch=Path(scratch), runs=1, log=_log)
        for row in rows:
            _measure_row(args, bench, row, document)
            document |= describe_shares(CpuShares.between(started, CpuTimes.read()))
            _write_reports(args, document)
    return document


def _measure_row(args: argparse.Namespace, bench: RowBenchmark, row: Row, document: dict[str, Any]) -> None:
    """Add the row to the document, and the versions that its systems report."""
    bench.runs = args.runs or (1 if args.quick or row.speech == "hour" else 3)
    recordings = bench.speech.select(row.speech)
    load, started = read_load(), CpuTimes.read()
    results = bench.measure(row)
    about = {
        "load_before": load,
        **describe_shares(CpuShares.between(started, CpuTimes.read())),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "requests_audio_s": round(_total_audio_s(row, bench.speech), 1),
    }
    document["rows"].append(build_row_report(row, recordings, results, about))
    for result in results:
        versions = result.facts.get("versions", {})
        assert isinstance(versions, dict)
        for package, number in versions.items():
            document["versions"].setdefault(package, number)


def _total_audio_s(row: Row, speech: Speech) -> float:
    """Seconds of audio that the row's measured seconds are for."""
    recordings = speech.select(row.speech)
    times = 1 if row.at_once == 1 else -(-REQUESTS_PER_CLIENT * row.at_once // len(recordings))
    return times * sum(it.duration_s for it in recordings)


def _open_systems(args: argparse.Namespace) -> Systems:
    cache = default_cache_directory()
    store = ArtifactStore(cache)
    artifacts = []
    for labelled in args.artifact:
        label, equals, reference = labelled.partition("=")
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
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": _format_command(args),
        "machine": {**describe_machine(), "frequencies_mhz": read_frequencies_mhz()},
        "load_before": read_load() if args.load_before is None else args.load_before,
        "threads": args.threads or hardware.count_usable_cores(),
        "seed": args.seed,
        "versions": {"neuron-whisper": __version__, "openvino": version("openvino")},
    }


def _format_command(args: argparse.Namespace) -> str:
    """The make command with the options that decide the figures, without paths of this machine."""
    options = [f"--rows {args.rows}" if args.rows else "", "--quick" if args.quick else ""]
    options += [
        f"--{name.replace('_', '-')} {value}"
        for name in ("runs", "clips", "hour_s", "long_s", "seed", "threads")
        if (value := getattr(args, name))
    ]
    options = [it for it in options if it]
    return "make bench-peers" + (f" GOALS={shlex.quote(' '.join(options))}" if options else "")


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
