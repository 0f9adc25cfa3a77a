"""What `transcribe` prints and refuses, without a model."""

from __future__ import annotations

import io
import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import pytest
import rich_click as click

from neuron_whisper.audio.clip import AudioClip
from neuron_whisper.audio.load import RawFormat
from neuron_whisper.audio.read_ahead import AudioReader
from neuron_whisper.cli.context import CliContext
from neuron_whisper.cli.output.files import OutputFiles, plan_output_files
from neuron_whisper.cli.transcribe import (
    _FileJob,
    _parse_formats,
    _parse_raw_format,
    _ProgressReporter,
    _run_all,
    explain_decoding,
)
from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.errors import AudioUnreadable, InvalidOption, OutputUnwritable
from neuron_whisper.formats.subtitles import SubtitleOptions
from neuron_whisper.transcriber import Transcriber
from neuron_whisper.transcript import Retry, Segment, SkippedRegion, Transcript
from tests.support.servers import tone


def test_explain_decoding_names_every_retry_truncation_and_skipped_region() -> None:
    segment = Segment(
        id=0,
        seek_s=0.0,
        start_s=0.0,
        end_s=2.5,
        text=" Hm.",
        tokens=(1,),
        temperature=0.4,
        avg_logprob=-0.5,
        compression_ratio=1.0,
        no_speech_prob=0.1,
        is_truncated=True,
        retries=(Retry(temperature=0.0, reason="compression_ratio"), Retry(temperature=0.2, reason="avg_logprob")),
    )
    region = SkippedRegion(start_s=2.5, end_s=30.0, reason="no_speech_threshold", text="Thank you.")
    transcript = Transcript(text="Hm.", language="en", duration_s=30.0, segments=(segment,), skipped=(region,))
    assert list(explain_decoding(transcript)) == [
        "0.00-2.50 s: decoded at temperature 0.4 after 0 (compression_ratio), 0.2 (avg_logprob)",
        "0.00-2.50 s: a repetition loop at the window's end was truncated",
        "2.50-30.00 s: skipped, no_speech_threshold: 'Thank you.'",
    ]


def _segment(n: int, text: str) -> Segment:
    return Segment(
        id=n,
        seek_s=0.0,
        start_s=float(n),
        end_s=n + 1.0,
        text=text,
        tokens=(1,),
        temperature=0.0,
        avg_logprob=-0.5,
        compression_ratio=1.0,
        no_speech_prob=0.1,
    )


class Screen(io.StringIO):
    """A stdout that notes when a text is written."""

    def __init__(self, awaited: str) -> None:
        super().__init__()
        self.awaited, self.is_written = awaited, threading.Event()

    def write(self, text: str) -> int:
        if self.awaited in text:
            self.is_written.set()
        return super().write(text)


class ScriptedTranscriber:
    """Decodes two segments; the second one only after the first is on the screen, unless `screen` is None."""

    def __init__(self, screen: Screen | None = None) -> None:
        self.screen = screen

    def transcribe(
        self, clip: AudioClip, options: TranscribeOptions, *, on_segment: Callable[[Segment], None]
    ) -> Transcript:
        segments = (_segment(0, " one"), _segment(1, " two"))
        on_segment(segments[0])
        if self.screen is not None:
            assert self.screen.is_written.wait(60)
        on_segment(segments[1])
        return Transcript(text=" one two", language="en", duration_s=clip.duration_s, segments=segments)

    def close(self) -> None:
        pass


def _job(
    transcriber: ScriptedTranscriber, *, shows_segments: bool, outputs: Mapping[str, OutputFiles] | None = None
) -> _FileJob:
    return _FileJob(
        transcriber=cast(Transcriber, transcriber),
        options=TranscribeOptions(),
        formats=["txt"],
        outputs=outputs or {},
        reader=AudioReader(),
        progress=_ProgressReporter(CliContext(cache=Path(), quiet=True), None),
        subtitles=SubtitleOptions(),
        explain=False,
        shows_segments=shows_segments,
    )


@pytest.fixture
def wav(tmp_path: Path) -> str:
    path = tmp_path / "tone.wav"
    path.write_bytes(tone(300, 0.5))
    return str(path)


def test_a_segment_is_on_the_terminal_before_the_next_one_is_decoded(wav: str, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen("one")
    monkeypatch.setattr("sys.stdout", screen)
    assert _run_all(_job(ScriptedTranscriber(screen), shows_segments=True), [wav], at_once=1) == []
    assert screen.getvalue() == "one\ntwo\n"


def test_a_pipe_gets_the_same_text_when_the_file_is_done(wav: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run_all(_job(ScriptedTranscriber(), shows_segments=False), [wav], at_once=1) == []
    assert capsys.readouterr().out == "one\ntwo\n"


def test_a_file_that_cannot_be_read_is_counted_and_the_next_one_is_printed(
    wav: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(tmp_path / "none.wav"), wav]
    errors = _run_all(_job(ScriptedTranscriber(), shows_segments=True), files, at_once=2)
    assert [type(error) for error in errors] == [AudioUnreadable]
    printed = capsys.readouterr()
    assert printed.out == "one\ntwo\n"
    assert printed.err.startswith("error: ")


def test_an_output_that_cannot_be_written_is_an_error_of_its_file_alone(
    wav: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copy(wav, tmp_path / "other.wav")
    outputs = plan_output_files([wav, str(other)], tmp_path / "out", ["txt"])
    (tmp_path / "out" / "tone.txt").mkdir(parents=True)  # after it was checked
    errors = _run_all(_job(ScriptedTranscriber(), shows_segments=False, outputs=outputs), list(outputs), at_once=1)
    assert [type(error) for error in errors] == [OutputUnwritable]
    assert (tmp_path / "out" / "other.txt").read_text() == "one\ntwo\n"
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'out' / 'tone.*'}: cannot be written, ")


def test_formats_are_one_for_stdout_and_not_both_of_json() -> None:
    assert _parse_formats(["srt,json", "text"], only_one=False) == ["srt", "json", "txt"]
    assert _parse_formats([], only_one=True) == ["txt"]
    for values, only_one in ((["srt,vtt"], True), (["json", "verbose_json"], False)):
        with pytest.raises(click.UsageError):
            _parse_formats(values, only_one=only_one)


@pytest.mark.parametrize("text", ["s12le", "s16le:fast", "s16le:16000:1:0"])
def test_a_wrong_raw_format_is_refused_by_its_flag(text: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        _parse_raw_format(text)
    assert refused.value.field == "--raw"


def test_a_raw_format_has_an_encoding_a_rate_and_channels() -> None:
    assert _parse_raw_format("s16le:16000:1") == RawFormat(encoding="s16le", sample_rate=16_000, channels=1)
