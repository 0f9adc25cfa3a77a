"""`transcribe`: audio files to text, on stdout or in files."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import rich_click as click
from click.exceptions import Exit

from neuron_whisper.cli.context import CliContext, with_context, write_stderr
from neuron_whisper.cli.decoding import decoding_options, parse_transcribe_options
from neuron_whisper.cli.loading import ModelSelection, model_options, open_transcriber
from neuron_whisper.cli.progress import create_progress_bar
from neuron_whisper.errors import InputError, InvalidOption

if TYPE_CHECKING:
    from rich.progress import Progress

    from neuron_whisper.audio.load import RawFormat
    from neuron_whisper.decode.options import TranscribeOptions
    from neuron_whisper.formats.subtitles import SubtitleOptions
    from neuron_whisper.transcriber import Transcriber
    from neuron_whisper.transcript import Transcript

SOME_FAILED = 1  # as the exit code of an InputError
STDIN = "-"


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@model_options
@decoding_options
@click.option(
    "-f",
    "--format",
    "formats",
    multiple=True,
    metavar="FORMAT",
    help="txt, json, verbose_json, srt, vtt or tsv; several with --output-dir.  [default: txt]",
)
@click.option(
    "-o",
    "--output-dir",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write <stem>.<format> for each file, instead of stdout.",
)
@click.option("--channel", type=click.IntRange(min=0), metavar="N", help="Take one channel, counted from 0.")
@click.option("--raw", metavar="ENC:RATE:CHANNELS", help="The audio has no header, such as s16le:16000:1.")
@click.option("--max-line-width", type=click.IntRange(min=1), metavar="N", help="Subtitles: characters of a line.")
@click.option("--max-line-count", type=click.IntRange(min=1), metavar="N", help="Subtitles: lines of a cue.")
@click.option("--max-words-per-line", type=click.IntRange(min=1), metavar="N", help="Subtitles: words of a line.")
@click.option("--highlight-words", is_flag=True, help="Subtitles: underline each word as it is said.")
@with_context
def transcribe(
    context: CliContext,
    files: tuple[str, ...],
    model: str | None,
    artifact: str | None,
    profile: str | None,
    threads: int,
    formats: tuple[str, ...],
    output_dir: Path | None,
    channel: int | None,
    raw: str | None,
    **flags: Any,
) -> None:
    """Transcribe audio and video files.

    The text goes to stdout, in the order of the files, each as soon as it is done; - is stdin. A file that
    cannot be read does not stop the others.
    """
    names = _parse_formats(formats, only_one=output_dir is None)
    _check_files(files, has_directory=output_dir is not None)
    subtitles = _parse_subtitle_options(flags)
    options = parse_transcribe_options({**flags, "word_timestamps": flags["word_timestamps"] or subtitles.needs_words})
    raw_format = _parse_raw_format(raw) if raw is not None else None
    wanted = ModelSelection(model=model, artifact=artifact, profile=profile, threads=threads)
    with open_transcriber(context, wanted) as (transcriber, opened_artifact), _show_progress(context) as tell:
        work = _FileJob(
            transcriber=transcriber,
            options=options,
            formats=names,
            output_dir=output_dir,
            channel=channel,
            raw=raw_format,
            progress=tell,
            subtitles=subtitles,
            explain=context.verbose,
        )
        n_failed = _run_all(work, files, at_once=min(opened_artifact.spec.slots, len(files)))
    if n_failed:
        if len(files) > 1:
            write_stderr(f"{n_failed} of {len(files)} files failed")
        raise Exit(SOME_FAILED)


# --- flags ----------------------------------------------------------------------------------------


def _parse_formats(given: Sequence[str], *, only_one: bool) -> list[str]:
    """("srt,json", "text") -> ["srt", "json", "txt"]. Raises InvalidOption, UsageError."""
    from neuron_whisper.formats.render import parse_format

    names = list(dict.fromkeys(parse_format(part.strip()) for item in given for part in item.split(",")))
    if only_one and len(names) > 1:
        raise click.UsageError("Several formats need --output-dir; stdout takes one.")
    return names or ["txt"]


def _parse_subtitle_options(flags: Mapping[str, Any]) -> SubtitleOptions:
    from neuron_whisper.formats.subtitles import SubtitleOptions

    names = ("max_line_width", "max_line_count", "max_words_per_line", "highlight_words")
    return SubtitleOptions(**{name: flags[name] for name in names})


def _check_files(files: Sequence[str], *, has_directory: bool) -> None:
    """Refuse, before any work, what would read stdin twice or write one output file twice."""
    if files.count(STDIN) > 1:
        raise click.UsageError("Stdin (-) can be read once.")
    if not has_directory:
        return
    by_stem: dict[str, str] = {}
    for file in files:
        other = by_stem.setdefault(_stem(file), file)
        if other is not file:
            raise click.UsageError(
                f"{other} and {file} would both be written as {_stem(file)}.* in --output-dir; give them one by one."
            )


def _stem(file: str) -> str:
    return "stdin" if file == STDIN else Path(file).stem


def _parse_raw_format(text: str) -> RawFormat:
    """ "s16le:16000:1" -> RawFormat; rate and channels may be left out. Raises InvalidOption."""
    from neuron_whisper.audio.load import RawEncoding, RawFormat

    encoding, *numbers = text.split(":")
    if encoding not in get_args(RawEncoding) or len(numbers) > 2 or not all(number.isdecimal() for number in numbers):
        known = ", ".join(get_args(RawEncoding))
        raise InvalidOption("--raw", text, f"encoding:rate:channels such as s16le:16000:1; encodings: {known}")
    given = dict(zip(("sample_rate", "channels"), map(int, numbers), strict=False))
    return RawFormat(encoding=encoding, **given)  # type: ignore[arg-type]  # it is among get_args


# --- work -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _FileJob:
    """What is done with each file; its methods may run in several threads at once."""

    transcriber: Transcriber
    options: TranscribeOptions
    formats: Sequence[str]
    output_dir: Path | None
    channel: int | None
    raw: RawFormat | None
    progress: _ProgressReporter
    subtitles: SubtitleOptions
    explain: bool

    def run(self, file: str) -> Transcript:
        """Transcribe, and write the files if there is a directory for them. Raises any error of the tree."""
        from neuron_whisper.audio.load import load_audio
        from neuron_whisper.formats.render import write_files

        started = time.perf_counter()
        clip = load_audio(file, channel=self.channel, raw=self.raw)
        for warning in clip.warnings:
            self.progress.write_line(f"warning: {clip.source}: {warning}")
        with self.progress.track_clip(clip.duration_s) as heard_until:
            transcript = self.transcriber.transcribe(
                clip, self.options, on_segment=lambda segment: heard_until(segment.end_s)
            )
        if self.output_dir is not None:
            write_files(transcript, self.output_dir, _stem(file), self.formats, self.subtitles)
        if self.explain:
            for line in explain_decoding(transcript):
                self.progress.write_line(line)
        took_s = time.perf_counter() - started
        self.progress.report_done(
            f"{clip.source}: {clip.duration_s:.1f} s of audio in {took_s:.1f} s ({transcript.language})"
        )
        return transcript

    def echo(self, transcript: Transcript) -> None:
        from neuron_whisper.formats.render import render

        text = render(transcript, self.formats[0], self.subtitles)
        with self.progress.hide_bar():
            click.echo(text, nl=bool(text) and not text.endswith("\n"))


def _run_all(job: _FileJob, files: Sequence[str], *, at_once: int) -> int:
    """Every file, `at_once` at a time, answers in order; how many failed for reasons of their own.

    Raises whatever is wrong with more than one file: CapacityError, DeviceError.
    """
    n_failed = 0
    pool = ThreadPoolExecutor(at_once, thread_name_prefix="file")
    try:
        for future in [pool.submit(job.run, file) for file in files]:
            try:
                transcript = future.result()
            except InputError as error:
                job.progress.write_line(f"error: {error}")
                n_failed += 1
                continue
            if job.output_dir is None:
                job.echo(transcript)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        job.transcriber.close()  # what still runs ends at its next window
        raise
    pool.shutdown()
    return n_failed


def explain_decoding(transcript: Transcript) -> Iterator[str]:
    """A line for every stretch that gave no text, and for every segment that took more than one attempt."""
    for segment in transcript.segments:
        span = f"{segment.start_s:.2f}-{segment.end_s:.2f} s"
        if segment.retries:
            tried = ", ".join(f"{retry.temperature:g} ({retry.reason})" for retry in segment.retries)
            yield f"{span}: decoded at temperature {segment.temperature:g} after {tried}"
        if segment.is_truncated:
            yield f"{span}: a repetition at the window's end was cut off"
    for gap in transcript.skipped:
        said = f": {gap.text!r}" if gap.text else ""
        yield f"{gap.start_s:.2f}-{gap.end_s:.2f} s: no text, {gap.reason}{said}"


# --- how far it is --------------------------------------------------------------------------------


class _ProgressReporter:
    """Progress in seconds of audio on a terminal, a line for each file elsewhere. Any thread may call it."""

    def __init__(self, context: CliContext, progress: Progress | None) -> None:
        self._settings, self._progress = context, progress
        self._lock = threading.Lock()
        self._total_s = 0.0
        self._task = progress.add_task("transcribing", total=0.0) if progress else None

    def write_line(self, text: str) -> None:
        """What is always said."""
        write_stderr(text)

    def report_done(self, text: str) -> None:
        self._settings.info(text)

    @contextmanager
    def track_clip(self, duration_s: float) -> Iterator[Callable[[float], None]]:
        """A function that is told up to which second of a clip all is done."""
        progress, task = self._progress, self._task
        if progress is None or task is None:
            yield lambda second: None
            return
        with self._lock:
            self._total_s += duration_s
            progress.update(task, total=self._total_s)
        heard_s = 0.0

        def heard_until(second: float) -> None:
            nonlocal heard_s
            second = min(max(second, heard_s), duration_s)
            progress.advance(task, second - heard_s)
            heard_s = second

        yield heard_until
        heard_until(duration_s)

    @contextmanager
    def hide_bar(self) -> Iterator[None]:
        """The bar goes away while something is written to the same terminal."""
        if self._progress is None or not sys.stdout.isatty():
            yield
            return
        self._progress.stop()
        try:
            yield
        finally:
            self._progress.start()


@contextmanager
def _show_progress(context: CliContext) -> Iterator[_ProgressReporter]:
    if context.quiet or not sys.stderr.isatty():
        yield _ProgressReporter(context, None)
        return
    with create_progress_bar("seconds") as progress:
        yield _ProgressReporter(context, progress)
