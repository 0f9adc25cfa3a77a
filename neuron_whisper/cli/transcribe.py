"""`transcribe`: transcribes audio files to stdout or to files."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, get_args

import rich_click as click
from click.exceptions import Exit

from neuron_whisper.cli.context import CliContext, with_context, write_stderr
from neuron_whisper.cli.decoding import (
    audio_limit_options,
    decoding_options,
    parse_audio_limits,
    parse_subtitle_options,
    parse_transcribe_options,
    subtitle_options,
)
from neuron_whisper.cli.loading import ModelSelection, model_options, open_artifact, resolve_artifact
from neuron_whisper.cli.output.files import STDIN, OutputFiles, make_stem, plan_output_files
from neuron_whisper.cli.output.streams import escape_json
from neuron_whisper.cli.progress import create_progress_bar
from neuron_whisper.errors import (
    AudioUnreadable,
    DecodingFailed,
    InputError,
    InvalidOption,
    NeuronWhisperError,
    OutputUnwritable,
)

if TYPE_CHECKING:
    from rich.progress import Progress

    from neuron_whisper.audio.load import RawFormat
    from neuron_whisper.audio.read_ahead import AudioReader
    from neuron_whisper.decode.options import TranscribeOptions
    from neuron_whisper.formats.subtitles import SubtitleOptions
    from neuron_whisper.transcriber import Transcriber
    from neuron_whisper.transcript import Segment, Transcript

SOME_FAILED = 1  # as the exit code of an InputError
WRONG_VALUES = 2  # as that of an InvalidOption
JSON_FORMATS = ("json", "verbose_json")
TRACK_FLAG = "--audio-track"


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@model_options
@click.option(
    "-f",
    "--format",
    "formats",
    panel="Output",
    multiple=True,
    metavar="FORMAT",
    help="Output format: txt, json, verbose_json, srt, vtt or tsv; may be repeated with --output-dir.  [default: txt]",
)
@click.option(
    "-o",
    "--output-dir",
    panel="Output",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Directory for <stem>.<format> of each file, instead of stdout. json has segments there, as whisper's has. "
    "Of files with one stem, the name or the directories are kept too.",
)
@click.option(
    "--skip-existing",
    panel="Output",
    is_flag=True,
    help="Leave files alone whose outputs are all in --output-dir already; by default those are replaced.",
)
@click.option(
    "--channel",
    panel="Audio",
    type=click.IntRange(min=0),
    metavar="N",
    help="Transcribe only this channel, counted from 0.",
)
@click.option(
    TRACK_FLAG,
    panel="Audio",
    metavar="N|LANG",
    help="Audio track of a file with several: a number from 0, or a language.  [default: the track tagged with "
    "--language or the model's only one, else the one that a player would play]",
)
@audio_limit_options
@click.option(
    "--raw", panel="Audio", metavar="ENC:RATE:CHANNELS", help="Raw audio as ENCODING:RATE:CHANNELS, e.g. s16le:16000:1."
)
@decoding_options
@subtitle_options
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
    skip_existing: bool,
    channel: int | None,
    audio_track: str | None,
    raw: str | None,
    **flags: Any,
) -> None:
    """Transcribe audio and video files.

    The text goes to stdout, in the order of the files; - is stdin. On a terminal segments appear as they are
    transcribed, in a pipe each file when it is done. A file that cannot be read does not stop the others.
    """
    from neuron_whisper.host.malloc import configure_malloc

    configure_malloc()  # before anything starts a thread
    names = _parse_formats(formats, only_one=output_dir is None)
    if files.count(STDIN) > 1:
        raise click.UsageError("Stdin (-) can be read only once.")
    if skip_existing and output_dir is None:
        raise click.UsageError("--skip-existing needs --output-dir; stdout keeps nothing.")
    load_options = {
        "channel": channel,
        "limits": parse_audio_limits(flags),
        "audio_track": _parse_track(audio_track),
        "track_field": TRACK_FLAG,
        "raw": _parse_raw_format(raw) if raw is not None else None,
    }
    subtitles = parse_subtitle_options(flags)
    options = parse_transcribe_options({**flags, "word_timestamps": flags["word_timestamps"] or subtitles.needs_words})
    selection = ModelSelection(model=model, artifact=artifact, profile=profile, threads=threads)
    outputs = {} if output_dir is None else plan_output_files(files, output_dir, names)
    pending, errors = _select_files(context, files, outputs, skip_existing=skip_existing)
    if pending:
        from neuron_whisper.audio.read_ahead import AudioReader
        from neuron_whisper.decode.language import find_spoken_language

        stored = resolve_artifact(context, selection)
        only_language = None if stored.spec.special.is_multilingual else "en"
        reader = AudioReader(**load_options, language=find_spoken_language(options, only_language))
        if pending[0] != STDIN:  # a process cannot end while a thread waits for its input
            reader.begin(pending[0])  # while the model is opened
        with open_artifact(context, selection, stored) as transcriber, _show_progress(context) as progress:
            transcriber.check_options(options)
            job = _FileJob(
                transcriber=transcriber,
                options=options,
                formats=names,
                outputs=outputs,
                reader=reader,
                progress=progress,
                subtitles=subtitles,
                explain=context.verbose,
                shows_segments=names == ["txt"] and not outputs and sys.stdout.isatty(),
            )
            errors += _run_all(job, pending, at_once=min(stored.spec.slots, len(pending)))
    if errors:
        if len(files) > 1:
            write_stderr(f"{len(errors)} of {len(outputs or files)} files failed")
        raise Exit(WRONG_VALUES if all(isinstance(error, InvalidOption) for error in errors) else SOME_FAILED)


def _select_files(
    context: CliContext, files: Sequence[str], outputs: Mapping[str, OutputFiles], *, skip_existing: bool
) -> tuple[list[str], list[NeuronWhisperError]]:
    """(files to transcribe, errors of those that cannot be read or written), each reported before any work."""
    pending: list[str] = []
    errors: list[NeuronWhisperError] = []
    for file in outputs or files:
        output = outputs.get(file)
        try:
            if output is not None:
                output.check()
                if skip_existing and len(output.find_existing()) == len(output.formats):
                    context.info(f"{file}: skipped, {' and '.join(map(str, output.paths))} exists")
                    continue
            _check_input(file)
        except InputError as error:
            about = "" if isinstance(error, AudioUnreadable) else f"{file}: "  # that names it
            write_stderr(f"error: {about}{error}")
            errors.append(error)
            continue
        if output is not None and output.stem != make_stem(file):
            context.info(f"{file}: written as {output.stem}.*, as another file would be {make_stem(file)}.* too")
        pending.append(file)
    return pending, errors


def _check_input(file: str) -> None:
    """Raises AudioUnreadable for a file that is not there or cannot be opened."""
    from neuron_whisper.audio.load import check_readable

    if file != STDIN:
        check_readable(Path(file))


# --- flags ----------------------------------------------------------------------------------------


def _parse_formats(values: Sequence[str], *, only_one: bool) -> list[str]:
    """("srt,json", "text") -> ["srt", "json", "txt"]. Raises InvalidOption, UsageError."""
    from neuron_whisper.formats.render import parse_format

    names = list(dict.fromkeys(parse_format(part.strip()) for item in values for part in item.split(",")))
    if only_one and len(names) > 1:
        raise click.UsageError("Several formats need --output-dir; stdout takes one.")
    if {"json", "verbose_json"} <= set(names):
        raise click.UsageError("json and verbose_json are both written to <stem>.json; give one of them.")
    return names or ["txt"]


def _parse_track(text: str | None) -> int | str | None:
    from neuron_whisper.text.audio_tracks import parse_audio_track

    return parse_audio_track(text, TRACK_FLAG)


def _parse_raw_format(text: str) -> RawFormat:
    """ "s16le:16000:1" -> RawFormat; rate and channels may be left out. Raises InvalidOption."""
    from neuron_whisper.audio.load import RawEncoding, RawFormat

    encoding, *numbers = text.split(":")
    if encoding not in get_args(RawEncoding) or len(numbers) > 2 or not all(number.isdecimal() for number in numbers):
        known = ", ".join(get_args(RawEncoding))
        raise InvalidOption("--raw", text, f"encoding:rate:channels such as s16le:16000:1; encodings: {known}")
    fields = dict(zip(("sample_rate", "channels"), map(int, numbers), strict=False))
    return RawFormat(encoding=encoding, **fields)  # type: ignore[arg-type]  # checked against get_args


# --- work -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _FileJob:
    """Transcribes the files one by one and writes the results; `run` may be called by several threads at once.

    `outputs`: the files of each input, empty for stdout. `explain`: print
    why text was skipped or decoded again. `shows_segments`: `run` passes each segment on.
    """

    transcriber: Transcriber
    options: TranscribeOptions
    formats: Sequence[str]
    outputs: Mapping[str, OutputFiles]
    reader: AudioReader
    progress: _ProgressReporter
    subtitles: SubtitleOptions
    explain: bool
    shows_segments: bool = False

    def run(self, file: str, on_segment: Callable[[Segment | None], None]) -> Transcript:
        """Transcribe, and write the files if there is an output directory. Raises any error of the tree.

        `on_segment` gets each segment when it is decoded, and None at the end, failed or not.
        """
        try:
            return self._run(file, on_segment if self.shows_segments else lambda segment: None)
        finally:
            on_segment(None)

    def _run(self, file: str, on_segment: Callable[[Segment], None]) -> Transcript:
        started = time.perf_counter()
        clip = self.reader.read(file)
        for warning in clip.warnings:
            self.progress.write_line(f"warning: {clip.source}: {warning}")
        with self.progress.track_clip(clip.duration_s) as advance_to:

            def on_decoded(segment: Segment) -> None:
                advance_to(segment.end_s)
                on_segment(segment)

            transcript = self.transcriber.transcribe(clip, self.options, on_segment=on_decoded)
        for warning in transcript.warnings[len(clip.warnings) :]:
            self.progress.write_line(f"warning: {clip.source}: {warning}")
        if (output := self.outputs.get(file)) is not None:
            self._write(transcript, output)
        if self.explain:
            for line in explain_decoding(transcript):
                self.progress.write_line(line)
        took_s = time.perf_counter() - started
        self.progress.report_done(
            f"{clip.source}: {clip.duration_s:.1f} s of audio in {took_s:.1f} s ({transcript.language or 'no speech'})"
        )
        return transcript

    def _write(self, transcript: Transcript, output: OutputFiles) -> None:
        """Write the files of an input, and say which of them replace earlier ones. Raises OutputUnwritable."""
        from neuron_whisper.formats.render import write_files

        replaced = output.find_existing()
        try:
            write_files(transcript, output.directory, output.stem, output.formats, self.subtitles)
        except OSError as error:
            raise OutputUnwritable(output.directory / f"{output.stem}.*", error) from error
        for path in replaced:
            self.progress.report_done(f"{path}: replaced, it was there before; --skip-existing keeps such files")

    def echo(self, transcript: Transcript) -> None:
        """Print the transcript in the one format that stdout takes."""
        from neuron_whisper.formats.render import render

        text = render(transcript, self.formats[0], self.subtitles)
        self._echo_text(escape_json(text, sys.stdout) if self.formats[0] in JSON_FORMATS else text)

    def echo_segment(self, segment: Segment) -> None:
        """Print a segment as the txt format has it: a line of its own, nothing for one without text."""
        if text := " ".join(segment.text.splitlines()).strip():
            self._echo_text(text + "\n")

    def _echo_text(self, text: str) -> None:
        with self.progress.hide_bar():
            click.echo(text, nl=bool(text) and not text.endswith("\n"))


def _run_all(job: _FileJob, files: Sequence[str], *, at_once: int) -> list[NeuronWhisperError]:
    """Transcribe every file, `at_once` at a time, print in their order, and return the errors of those that failed.

    A file that fails by an InputError or DecodingFailed does not stop the others; CapacityError and DeviceError
    concern all: raised.
    """
    errors: list[NeuronWhisperError] = []
    pool = ThreadPoolExecutor(at_once, thread_name_prefix="file")
    segments: list[SimpleQueue[Segment | None]] = [SimpleQueue() for _ in files]
    try:
        futures = [pool.submit(job.run, file, queue.put) for file, queue in zip(files, segments, strict=True)]
        for file, future, queue in zip(files, futures, segments, strict=True):
            for segment in iter(queue.get, None):  # until the file has ended
                job.echo_segment(segment)
            try:
                transcript = future.result()
            except (InputError, DecodingFailed) as error:
                about = f"{file}: " if isinstance(error, (InvalidOption, DecodingFailed)) else ""  # others name it
                job.progress.write_line(f"error: {about}{error}")
                errors.append(error)
                continue
            if not job.outputs and not job.shows_segments:
                job.echo(transcript)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        job.transcriber.close()  # files in progress end at their next window
        raise
    pool.shutdown()
    return errors


def explain_decoding(transcript: Transcript) -> Iterator[str]:
    """A line for every region without text, and for every segment that took more than one attempt."""
    for segment in transcript.segments:
        span = f"{segment.start_s:.2f}-{segment.end_s:.2f} s"
        if segment.retries:
            tried = ", ".join(f"{retry.temperature:g} ({retry.reason})" for retry in segment.retries)
            yield f"{span}: decoded at temperature {segment.temperature:g} after {tried}"
        if segment.is_truncated:
            yield f"{span}: a repetition loop at the window's end was truncated"
    for region in transcript.skipped:
        text = f": {region.text!r}" if region.text else ""
        yield f"{region.start_s:.2f}-{region.end_s:.2f} s: skipped, {region.reason}{text}"


# --- progress -------------------------------------------------------------------------------------


class _ProgressReporter:
    """Shows progress in seconds of audio on a terminal, a line for each file elsewhere. Any thread may call it."""

    def __init__(self, context: CliContext, progress: Progress | None) -> None:
        self._context, self._progress = context, progress
        self._lock = threading.Lock()
        self._total_s = 0.0
        self._task = progress.add_task("transcribing", total=0.0) if progress else None

    def write_line(self, text: str) -> None:
        """Write a warning or an error, also when quiet."""
        write_stderr(text)

    def report_done(self, text: str) -> None:
        """Write the line of a finished file; nothing when quiet."""
        self._context.info(text)

    @contextmanager
    def track_clip(self, duration_s: float) -> Iterator[Callable[[float], None]]:
        """Yields a function to be called with the second up to which the clip is transcribed."""
        progress, task = self._progress, self._task
        if progress is None or task is None:
            yield lambda second: None
            return
        with self._lock:
            self._total_s += duration_s
            progress.update(task, total=self._total_s)
        done_s = 0.0

        def advance_to(second: float) -> None:
            nonlocal done_s
            second = min(max(second, done_s), duration_s)
            progress.advance(task, second - done_s)
            done_s = second

        yield advance_to
        advance_to(duration_s)

    @contextmanager
    def hide_bar(self) -> Iterator[None]:
        """Hide the bar while text is written to the same terminal."""
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
