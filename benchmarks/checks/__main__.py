"""What error rates do not tell: text where nobody speaks, times on a timeline that is known, times of words.

`python -m benchmarks.checks {sounds,timeline,words} [SPEECH] --artifact base`: ours by both plans beside the
peers that are asked for, in one run, as a Markdown table; timeline and words need SPEECH, a manifest.
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

from benchmarks.checks.timeline import SOUNDS, Samples, lay_out, summary, times_found
from benchmarks.checks.word_times import differences_s, goes_back
from neuron_whisper.artifact.cache_directory import default_cache_directory
from neuron_whisper.artifact.store import ArtifactStore
from neuron_whisper.audio.clip import SAMPLE_RATE
from neuron_whisper.audio.load import load_audio
from neuron_whisper.bench.accuracy.manifest import Choice, Spoken, read_speech
from neuron_whisper.bench.accuracy.metrics import percentile, word_errors
from neuron_whisper.bench.engines.config import Decoding, Opening
from neuron_whisper.bench.engines.peers import pythons
from neuron_whisper.bench.engines.prepare_peer import ready_peer
from neuron_whisper.bench.engines.results import Heard, Span
from neuron_whisper.bench.process.client import Child
from neuron_whisper.errors import NeuronWhisperError
from neuron_whisper.model.checkpoint import open_checkpoint
from neuron_whisper.model.sources import resolve_model

Row = Sequence[str]
SHORT_S = 30.0
GAP_S = (1.0, 15.0)  # between the timeline's clips


class Systems:
    """Processes of ours and of peers; `hear` asks one. Closed with the stack."""

    def __init__(
        self, given: argparse.Namespace, stack: ExitStack, *, decoding: Decoding, plans: Sequence[str]
    ) -> None:
        cache = default_cache_directory()
        artifact = ArtifactStore(cache).resolve(given.artifact)
        checkpoint = open_checkpoint(resolve_model(artifact.manifest.model, cache=cache))
        self._scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.is_multilingual = artifact.spec.dims.is_multilingual
        self._children: dict[str, Child] = {}
        for plan in plans:
            opening = Opening(
                engine="neuron-whisper",
                variant=plan,
                source=str(artifact.path),
                threads=given.threads,
                decoding=decoding,
                is_multilingual=self.is_multilingual,
                cache=str(cache),
            )
            self._open(f"neuron-whisper {artifact.name} {plan}", sys.executable, opening, given.threads, stack)
        for told in given.peer:
            peer = ready_peer(
                told,
                checkpoint,
                cache=cache,
                pythons=pythons(tuple(given.peer_python)),
                threads=given.threads,
                decoding=decoding,
                tell=_tell,
            )
            self._open(peer.name, peer.python, peer.opening, given.threads, stack)

    def _open(self, name: str, python: str, opening: Opening, threads: int, stack: ExitStack) -> None:
        child = stack.enter_context(Child(name, python, threads, self._scratch))
        child.open(opening)
        self._children[name] = child

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._children)

    def hear(self, name: str, samples: Samples, language: str | None) -> Heard:
        path = self._scratch / "samples.f32"
        samples.astype(np.float32).tofile(path)
        heard, took_s = self._children[name].heard(path, language)
        _tell(f"{name}: {len(samples) / SAMPLE_RATE:.0f} s in {took_s:.1f} s")
        return heard


# --- the checks -------------------------------------------------------------------------------


def sounds(given: argparse.Namespace, stack: ExitStack) -> Iterator[Row]:
    """Words that are heard in `--seconds` of each sound, language detected."""
    systems = Systems(given, stack, decoding=_decoding(given), plans=("sequential", "batched"))
    made = {name: make(round(given.seconds * SAMPLE_RATE), np.random.default_rng(0)) for name, make in SOUNDS.items()}
    yield ("words heard in", *made)
    for name in systems.names:
        heard = [systems.hear(name, samples, None) for samples in made.values()]
        yield (name, *(str(len(it.text.split())) for it in heard))


def timeline(given: argparse.Namespace, stack: ExitStack) -> Iterator[Row]:
    """Error rates of the manifest's long files, and all of a timeline of its short ones."""
    systems = Systems(given, stack, decoding=_decoding(given), plans=("sequential", "batched"))
    spoken = _spoken(given)
    clips = [(load_audio(it.path, channel=it.channel).samples, it) for it in spoken]
    files = [(samples, it) for samples, it in clips if len(samples) > 2 * SHORT_S * SAMPLE_RATE]
    short = [(samples, it.text) for samples, it in clips if len(samples) <= SHORT_S * SAMPLE_RATE]
    laid = lay_out(short, seconds=given.seconds, gap_s=GAP_S, seed=given.seed)
    yield (
        "system",
        *(f"WER % of {it.name} ({len(samples) / SAMPLE_RATE:.0f} s)" for samples, it in files),
        f"WER % of {len(laid.clips)} clips in {len(laid.samples) / SAMPLE_RATE:.0f} s",
        "starts and ends within 0.3 s of a clip, %",
        "farthest outside, s",
        "segments across clips",
        "words where nobody speaks",
    )
    for name in systems.names:
        rates = [_rate(it.text, systems.hear(name, samples, it.language).text, it.language) for samples, it in files]
        heard = systems.hear(name, laid.samples, spoken[0].language)
        rates.append(_rate(laid.reference, heard.text, spoken[0].language))
        found = times_found(laid, heard.segments or ())
        numbers = summary(found)
        for text in found.unspoken:
            _tell(f"{name}: where nobody speaks: {text!r}")
        yield (
            name,
            *rates,
            f"{100 * numbers['within_300ms']:.1f}",
            f"{numbers['most_outside_s']:.2f}",
            f"{numbers['across']:.0f}",
            f"{numbers['unspoken_words']:.0f}",
        )


def words(given: argparse.Namespace, stack: ExitStack) -> Iterator[Row]:
    """How far times of words lie from those of the first peer, on clips of which both have the same text."""
    systems = Systems(given, stack, decoding=_decoding(given, word_timestamps=True), plans=("sequential",))
    oracle, *others = [name for name in systems.names if not name.startswith("neuron")] or systems.names
    compared = [name for name in systems.names if name.startswith("neuron")] + others
    found: dict[str, list[float]] = {name: [] for name in compared}
    backwards = dict.fromkeys(compared, 0)
    for it in _spoken(given):
        samples = load_audio(it.path, channel=it.channel).samples
        if len(samples) > SHORT_S * SAMPLE_RATE:
            continue
        theirs: Sequence[Span] = systems.hear(oracle, samples, it.language).words or ()
        for name in compared:
            ours = systems.hear(name, samples, it.language).words or ()
            found[name] += differences_s(ours, theirs)
            backwards[name] += goes_back(ours)
    yield (f"against {oracle}", "words", "median ms", "95 % within ms", "most ms", "words that go back")
    for name, values in found.items():
        numbers = [f"{1000 * percentile(values, percent):.0f}" for percent in (50, 95, 100)] if values else ["-"] * 3
        yield (name, str(len(values) // 2), *numbers, str(backwards[name]))


CHECKS: dict[str, Callable[[argparse.Namespace, ExitStack], Iterator[Row]]] = {
    "sounds": sounds,
    "timeline": timeline,
    "words": words,
}


def _decoding(given: argparse.Namespace, *, word_timestamps: bool = False) -> Decoding:
    return Decoding(beam_size=given.beam_size, word_timestamps=word_timestamps, extras=not given.no_extras)


def _spoken(given: argparse.Namespace) -> list[Spoken]:
    where = tuple((column, value) for column, _, value in (pair.partition("=") for pair in given.where))
    spoken, _ = read_speech([given.speech], Choice(language=given.language, where=where, skip=tuple(given.skip)))
    return spoken


def _rate(reference: str, heard: str, language: str) -> str:
    return f"{100 * (word_errors(reference, heard, language).rate or 0):.2f}"


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.checks", description=__doc__)
    parser.add_argument("check", choices=list(CHECKS))
    parser.add_argument("speech", nargs="?", type=Path)
    parser.add_argument("--artifact", required=True, metavar="REF")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME[:VARIANT]")
    parser.add_argument("--peer-python", action="append", default=[], metavar="[NAME=]PYTHON")
    parser.add_argument("--beam-size", type=int)
    parser.add_argument("--no-extras", action="store_true", help="ours does nothing that openai-whisper does not")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each sound, or of the timeline")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--language", default=None)
    parser.add_argument("--where", action="append", default=[], metavar="COLUMN=VALUE")
    parser.add_argument("--skip", action="append", default=[], metavar="PATTERN")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args(arguments)
    if given.check != "sounds" and given.speech is None:
        parser.error(f"{given.check} needs SPEECH, a manifest")
    try:
        with ExitStack() as stack:
            for n, row in enumerate(CHECKS[given.check](given, stack)):
                sys.stdout.write(f"| {' | '.join(row)} |\n" + ("|" + " --- |" * len(row) + "\n" if n == 0 else ""))
    except NeuronWhisperError as error:
        _tell(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
