"""Checks that error rates do not cover: hallucinated words, times on a known timeline, word times, changed texts.

`python -m benchmarks.checks {hallucination,timeline,words} [MANIFEST] --artifact base` runs neuron-whisper with both
long-form plans, and the named peers, and prints a Markdown table; timeline and words need MANIFEST.
`python -m benchmarks.checks texts MANIFEST --model base --json after.json --before before.json` keeps the texts of
every recording, and lists those that are not an earlier installation's.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks.checks.texts import (
    compare_texts,
    format_comparison,
    format_rates,
    read_texts,
    transcribe_all,
    write_texts,
)
from benchmarks.checks.timeline import SOUNDS, Samples, build_timeline, measure_timing, summarize
from benchmarks.checks.word_times import compare_times_s, count_backward_words
from neuron_whisper.artifact.cache_directory import default_cache_directory
from neuron_whisper.artifact.store import ArtifactStore
from neuron_whisper.audio.clip import SAMPLE_RATE
from neuron_whisper.audio.load import load_audio
from neuron_whisper.bench.accuracy.manifest import ReferenceUtterance, RowFilter, read_recordings, read_utterances
from neuron_whisper.bench.accuracy.metrics import count_word_errors, percentile
from neuron_whisper.bench.engines.config import DecodingConfig, EngineConfig
from neuron_whisper.bench.engines.peers import parse_peer_pythons
from neuron_whisper.bench.engines.prepare_peer import prepare_peer
from neuron_whisper.bench.engines.results import TimedText, TranscriptionResult
from neuron_whisper.bench.process.client import WorkerClient
from neuron_whisper.errors import MissingOption, NeuronWhisperError
from neuron_whisper.model.checkpoint import open_checkpoint
from neuron_whisper.model.sources import resolve_model

TableRow = Sequence[str]
SHORT_S = 30.0
GAP_S = (1.0, 15.0)  # between the timeline's clips


class SystemWorkers:
    """Worker processes of neuron-whisper and of peers, closed with the stack."""

    def __init__(
        self, args: argparse.Namespace, stack: ExitStack, *, decoding: DecodingConfig, plans: Sequence[str]
    ) -> None:
        cache = default_cache_directory()
        artifact = ArtifactStore(cache).resolve(args.artifact)
        checkpoint = open_checkpoint(resolve_model(artifact.manifest.model, cache=cache))
        self._scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.is_multilingual = artifact.spec.dims.is_multilingual
        self._workers: dict[str, WorkerClient] = {}
        for plan in plans:
            config = EngineConfig(
                engine="neuron-whisper",
                variant=plan,
                source=str(artifact.path),
                threads=args.threads,
                decoding=decoding,
                is_multilingual=self.is_multilingual,
                cache=str(cache),
            )
            self._open(f"neuron-whisper {artifact.name} {plan}", sys.executable, config, args.threads, stack)
        for peer_spec in args.peer:
            peer = prepare_peer(
                peer_spec,
                checkpoint,
                cache=cache,
                pythons=parse_peer_pythons(tuple(args.peer_python)),
                threads=args.threads,
                decoding=decoding,
                log=_log,
            )
            self._open(peer.name, peer.python, peer.config, args.threads, stack)

    def _open(self, name: str, python: str, config: EngineConfig, threads: int, stack: ExitStack) -> None:
        worker = stack.enter_context(WorkerClient(name, python, threads, self._scratch))
        worker.open(config)
        self._workers[name] = worker

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._workers)

    def transcribe(self, name: str, samples: Samples, language: str | None) -> TranscriptionResult:
        path = self._scratch / "samples.f32"
        samples.astype(np.float32).tofile(path)
        result, took_s = self._workers[name].transcribe(path, language)
        _log(f"{name}: {len(samples) / SAMPLE_RATE:.0f} s in {took_s:.1f} s")
        return result


# --- the checks -------------------------------------------------------------------------------


def check_hallucination(args: argparse.Namespace, stack: ExitStack) -> Iterator[TableRow]:
    """Number of hallucinated words in `--seconds` of each non-speech sound, language detected."""
    systems = SystemWorkers(args, stack, decoding=_parse_decoding(args), plans=("sequential", "batched"))
    sounds = {name: make(round(args.seconds * SAMPLE_RATE), np.random.default_rng(0)) for name, make in SOUNDS.items()}
    yield ("hallucinated words in", *sounds)
    for name in systems.names:
        results = [systems.transcribe(name, samples, None) for samples in sounds.values()]
        yield (name, *(str(len(result.text.split())) for result in results))


def check_timeline(args: argparse.Namespace, stack: ExitStack) -> Iterator[TableRow]:
    """Error rates of the manifest's long files, and error rate and times on a timeline of its short ones."""
    systems = SystemWorkers(args, stack, decoding=_parse_decoding(args), plans=("sequential", "batched"))
    utterances = _read_utterances(args)
    clips = [(load_audio(it.path, channel=it.channel).samples, it) for it in utterances]
    files = [(samples, it) for samples, it in clips if len(samples) > 2 * SHORT_S * SAMPLE_RATE]
    short = [(samples, it.text) for samples, it in clips if len(samples) <= SHORT_S * SAMPLE_RATE]
    laid = build_timeline(short, seconds=args.seconds, gap_s=GAP_S, seed=args.seed)
    yield (
        "system",
        *(f"WER % of {it.name} ({len(samples) / SAMPLE_RATE:.0f} s)" for samples, it in files),
        f"WER % of {len(laid.clips)} clips in {len(laid.samples) / SAMPLE_RATE:.0f} s",
        "starts and ends within 0.3 s of a clip, %",
        "farthest outside, s",
        "segments across clips",
        "words in gaps",
    )
    for name in systems.names:
        rates = [
            _format_wer(it.text, systems.transcribe(name, samples, it.language).text, it.language)
            for samples, it in files
        ]
        result = systems.transcribe(name, laid.samples, utterances[0].language)
        rates.append(_format_wer(laid.reference, result.text, utterances[0].language))
        errors = measure_timing(laid, result.segments or ())
        numbers = summarize(errors)
        for text in errors.gap_texts:
            _log(f"{name}: text in a gap: {text!r}")
        yield (
            name,
            *rates,
            f"{100 * numbers['within_300ms']:.1f}",
            f"{numbers['max_outside_s']:.2f}",
            f"{numbers['across_clips']:.0f}",
            f"{numbers['gap_words']:.0f}",
        )


def check_word_times(args: argparse.Namespace, stack: ExitStack) -> Iterator[TableRow]:
    """Distance of word times from those of the first peer, for words that both have at the same place."""
    systems = SystemWorkers(args, stack, decoding=_parse_decoding(args, word_timestamps=True), plans=("sequential",))
    oracle, *others = [name for name in systems.names if not name.startswith("neuron")] or systems.names
    compared = [name for name in systems.names if name.startswith("neuron")] + others
    differences: dict[str, list[float]] = {name: [] for name in compared}
    backwards = dict.fromkeys(compared, 0)
    for it in _read_utterances(args):
        samples = load_audio(it.path, channel=it.channel).samples
        if len(samples) > SHORT_S * SAMPLE_RATE:
            continue
        theirs: Sequence[TimedText] = systems.transcribe(oracle, samples, it.language).words or ()
        for name in compared:
            ours = systems.transcribe(name, samples, it.language).words or ()
            differences[name] += compare_times_s(ours, theirs)
            backwards[name] += count_backward_words(ours)
    yield (f"against {oracle}", "words", "median ms", "95 % within ms", "max ms", "words that go back in time")
    for name, values in differences.items():
        numbers = [f"{1000 * percentile(values, percent):.0f}" for percent in (50, 95, 100)] if values else ["-"] * 3
        yield (name, str(len(values) // 2), *numbers, str(backwards[name]))


CHECKS: dict[str, Callable[[argparse.Namespace, ExitStack], Iterator[TableRow]]] = {
    "hallucination": check_hallucination,
    "timeline": check_timeline,
    "words": check_word_times,
}


def _parse_decoding(args: argparse.Namespace, *, word_timestamps: bool = False) -> DecodingConfig:
    return DecodingConfig(beam_size=args.beam_size, word_timestamps=word_timestamps, extras=not args.no_extras)


def _read_utterances(args: argparse.Namespace) -> list[ReferenceUtterance]:
    utterances, _ = read_utterances([args.manifest], _parse_filter(args))
    return utterances


def _parse_filter(args: argparse.Namespace) -> RowFilter:
    where = tuple((column, value) for column, _, value in (pair.partition("=") for pair in args.where))
    return RowFilter(language=args.language, where=where, skip=tuple(args.skip))


def _format_wer(reference: str, hypothesis: str, language: str) -> str:
    return f"{100 * (count_word_errors(reference, hypothesis, language).rate or 0):.2f}"


def _log(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def run_check(args: argparse.Namespace) -> int:
    """Prints the table of a check of systems, row by row."""
    if args.check != "hallucination" and args.manifest is None:
        raise MissingOption("MANIFEST", f"{args.check} needs a table of recordings")
    with ExitStack() as stack:
        for n, row in enumerate(CHECKS[args.check](args, stack)):
            sys.stdout.write(f"| {' | '.join(row)} |\n" + ("|" + " --- |" * len(row) + "\n" if n == 0 else ""))
    return 0


def check_texts(args: argparse.Namespace) -> int:
    """Keeps the texts of every recording; 1 if one is not that of `--before` and `--fail-on-change` is given."""
    before = None if args.before is None else read_texts(args.before)
    after = transcribe_all(
        read_recordings(args.manifest, _parse_filter(args)),
        models=args.model or ["base"],
        profile=args.profile,
        options={} if args.beam_size is None else {"beam_size": args.beam_size},
        threads=args.threads,
        python=args.python,
        log=_log,
    )
    write_texts(args.json, after)
    if before is None:
        sys.stdout.write(format_rates((None, text) for text in after.texts) + "\n")
        return 0
    comparison = compare_texts(before, after)
    sys.stdout.write(format_comparison(comparison) + "\n")
    return int(args.fail_on_change and bool(comparison.changed))


def create_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.checks", description=__doc__)
    checks = parser.add_subparsers(dest="check", required=True)
    for name, check in CHECKS.items():
        made = checks.add_parser(name, help=check.__doc__)
        made.set_defaults(run=run_check)
        made.add_argument("manifest", nargs="?", type=Path, metavar="MANIFEST", help="as of `neuron-whisper bench`")
        made.add_argument("--artifact", required=True, metavar="REF", help="a stored artifact")
        made.add_argument("--peer", action="append", default=[], metavar="NAME[:VARIANT]", help="may be repeated")
        made.add_argument(
            "--peer-python", action="append", default=[], metavar="[NAME=]PYTHON", help="python that has a peer, or all"
        )
        made.add_argument("--no-extras", action="store_true", help="neuron-whisper without what openai-whisper lacks")
        made.add_argument("--seconds", type=float, default=60.0, help="length of each sound, or of the timeline")
        made.add_argument("--seed", type=int, default=0, help="of the timeline's order and gaps")
        _add_shared_flags(made)
    texts = checks.add_parser("texts", help=check_texts.__doc__)
    texts.set_defaults(run=check_texts)
    texts.add_argument("manifest", type=Path, metavar="MANIFEST", help="a table of recordings, with texts or without")
    texts.add_argument("--model", action="append", metavar="NAME", help="as of load_model; may be repeated (base)")
    texts.add_argument("--profile", default="cpu", help="compile profile (cpu)")
    texts.add_argument("--python", default=sys.executable, help="of the installation that transcribes (this one)")
    texts.add_argument("--json", required=True, type=Path, metavar="FILE", help="where the texts are kept")
    texts.add_argument("--before", type=Path, metavar="FILE", help="what --json wrote for another installation")
    texts.add_argument("--fail-on-change", action="store_true", help="exit code 1 when a text changed")
    _add_shared_flags(texts)
    return parser


def _add_shared_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--beam-size", type=int, help="beams at temperature 0")
    parser.add_argument("--language", default=None, help="measure only the clips in this language")
    parser.add_argument(
        "--where", action="append", default=[], metavar="COLUMN=VALUE", help="only rows with this value"
    )
    parser.add_argument("--skip", action="append", default=[], metavar="PATTERN", help="skip files of this name")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads per system")


def main(arguments: Sequence[str] | None = None) -> int:
    args = create_parser().parse_args(arguments)
    try:
        return int(args.run(args))
    except NeuronWhisperError as error:
        _log(f"error: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
