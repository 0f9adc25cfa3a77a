"""Renders a Transcript as plain text, JSON, subtitles or a table. Seconds become milliseconds only here."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from neuron_whisper.audio.clip import FRAMES_PER_SECOND
from neuron_whisper.errors import InvalidOption
from neuron_whisper.formats.subtitles import Cue, SubtitleOptions, build_cues
from neuron_whisper.text.languages import LANGUAGES
from neuron_whisper.transcript import Segment, Transcript, Word

__all__ = [
    "FORMATS",
    "SubtitleOptions",
    "format_timestamp",
    "parse_format",
    "render",
    "render_text",
    "to_milliseconds",
    "to_verbose",
    "to_verbose_segment",
    "to_verbose_words",
    "to_whisper",
    "write_files",
]


def parse_format(text: str, field: str = "format") -> str:
    """Returns one of FORMATS; also accepts "text", as in OpenAI's API, for "txt".

    Raises InvalidOption about `field`, which is what the caller calls it.
    """
    name = "txt" if text == "text" else text
    if name not in FORMATS:
        raise InvalidOption(field, text, f"it is one of {', '.join(FORMATS)}")
    return name


def render(transcript: Transcript, fmt: str, subtitles: SubtitleOptions | None = None) -> str:
    """Renders the transcript in one of FORMATS, as a file holds it; JSON is one line without a newline.

    `subtitles` lays out srt and vtt; other formats ignore it. Raises InvalidOption for a format, and for
    subtitle options where a segment has no word times.
    """
    name = parse_format(fmt)
    if name in _SUBTITLES:
        return _SUBTITLES[name](transcript, subtitles or SubtitleOptions())
    return _WRITERS[name](transcript)


def render_text(transcript: Transcript) -> str:
    """Renders the whole text in one line without a newline: the format "text" of OpenAI's API."""
    return _one_line(transcript.text)


def to_verbose(transcript: Transcript) -> dict[str, object]:
    """Returns the fields of OpenAI's TranscriptionVerbose, `words` among them if segments have words.

    `language` is "" where no speech was heard to tell it by: OpenAI's type is a string. Beyond those, if there are
    any: `skipped`, `warnings`, `source_language` of a translation, and what `to_verbose_segment` adds.
    """
    document: dict[str, object] = {
        "task": transcript.task,
        **_name_languages(transcript.language or "", transcript.task),
        "duration": _round_to_ms(transcript.duration_s),
        "text": transcript.text.strip(),
        "segments": [to_verbose_segment(segment, transcript.task) for segment in transcript.segments],
    }
    if words := [word for segment in transcript.segments for word in to_verbose_words(segment)]:
        document["words"] = words
    if transcript.skipped:
        document["skipped"] = [
            {"start": _round_to_ms(gap.start_s), "end": _round_to_ms(gap.end_s), "reason": gap.reason, "text": gap.text}
            for gap in transcript.skipped
        ]
    if transcript.warnings:
        document["warnings"] = list(transcript.warnings)
    return document


def _name_languages(spoken: str, task: str) -> dict[str, str]:
    """Returns the names that OpenAI's API has for the languages of a text: "de" -> {"language": "german"}.

    The text of a translation is English: {"language": "english", "source_language": "german"}.
    """
    name = LANGUAGES.get(spoken, spoken)
    return {"language": "english", "source_language": name} if task == "translate" else {"language": name}


def to_verbose_segment(segment: Segment, task: str = "transcribe") -> dict[str, object]:
    """Returns a segment as OpenAI's TranscriptionSegment, with its language, by name.

    A translation's has `source_language` too; `retries` and `is_truncated` are there if there are any.
    """
    languages = {} if segment.language is None else _name_languages(segment.language, task)
    return {**_to_openai_segment(segment), **languages, **_decoding_notes(segment)}


def _to_openai_segment(segment: Segment) -> dict[str, object]:
    return {
        "id": segment.id,
        "seek": round(segment.seek_s * FRAMES_PER_SECOND),  # in mel frames, as in openai/whisper
        "start": _round_to_ms(segment.start_s),
        "end": _round_to_ms(segment.end_s),
        "text": segment.text,
        "tokens": segment.tokens,
        "temperature": segment.temperature,
        "avg_logprob": segment.avg_logprob,
        "compression_ratio": segment.compression_ratio,
        "no_speech_prob": segment.no_speech_prob,
    }


def to_whisper(transcript: Transcript) -> dict[str, object]:
    """The result of openai/whisper's `transcribe`: `text`, `segments`, `language` as a code, and words in segments.

    `language` is None where no speech was heard to tell it by; each segment has its own, which is spoken there.
    """
    segments = []
    for segment in transcript.segments:
        language = {} if segment.language is None else {"language": segment.language}
        document = {**_to_openai_segment(segment), **language, **_decoding_notes(segment)}
        if segment.words:
            document["words"] = [_to_word(word, word.text) for word in segment.words]
        segments.append(document)
    return {"text": transcript.text, "segments": segments, "language": transcript.language}


def to_verbose_words(segment: Segment) -> list[dict[str, object]]:
    """Returns a segment's words as OpenAI's TranscriptionWord, with the probability that openai/whisper gives."""
    return [_to_word(word, word.text.strip()) for word in segment.words]


def _to_word(word: Word, text: str) -> dict[str, object]:
    return {
        "word": text,
        "start": _round_to_ms(word.start_s),
        "end": _round_to_ms(word.end_s),
        "probability": round(word.probability, 4),
    }


def write_files(
    transcript: Transcript,
    directory: Path,
    stem: str,
    formats: Iterable[str],
    subtitles: SubtitleOptions | None = None,
) -> tuple[Path, ...]:
    """Writes `<directory>/<stem>.<format>` for each format, atomically, and returns the paths.

    "talk.v2", ["srt", "json"] -> talk.v2.srt, talk.v2.json. A file of the format json has segments, as whisper's has;
    verbose_json is OpenAI's document, in <stem>.json too. An existing file is replaced. Raises InvalidOption for a
    format, both JSON formats at once, a stem with a directory in it, a directory that cannot be made, and as `render`.
    """
    names = dict.fromkeys(parse_format(fmt) for fmt in formats)
    if {"json", "verbose_json"} <= names.keys():
        raise InvalidOption("format", "json, verbose_json", f"both are written to {stem}.json: one of them")
    if stem in ("", ".", "..") or "/" in stem or "\\" in stem or "\0" in stem:
        raise InvalidOption("stem", stem, "it is a file name without a directory")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise InvalidOption("output_dir", str(directory), f"it cannot be made: {reason}") from error
    paths = []
    for name in names:
        content = _dump_json(to_whisper(transcript)) if name == "json" else render(transcript, name, subtitles)
        # not with_suffix: "talk.v2" keeps its dot
        path = directory / f"{stem}.{'json' if name == 'verbose_json' else name}"
        _write_atomically(path, content if content.endswith("\n") or not content else content + "\n")
        paths.append(path)
    return tuple(paths)


def _write_atomically(path: Path, content: str) -> None:
    # a short temporary name: the stem may already have the longest length of a file name
    partial = path.with_name(f".{secrets.token_hex(8)}.partial")
    try:
        partial.write_text(content, encoding="utf-8", newline="\n")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


# --- time -----------------------------------------------------------------------------------------


def to_milliseconds(seconds: float) -> int:
    """Rounds to whole milliseconds, never negative: 1.001 -> 1001."""
    return max(0, round(seconds * 1000))


def format_timestamp(ms: int, separator: str, *, hours: bool) -> str:
    """Formats a timestamp; without `hours` they are written only if not zero: 3_661_001 -> "01:01:01,001"."""
    seconds, ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    whole_hours, minutes = divmod(minutes, 60)
    front = f"{whole_hours:02d}:" if hours or whole_hours else ""
    return f"{front}{minutes:02d}:{seconds:02d}{separator}{ms:03d}"


# --- formats --------------------------------------------------------------------------------------


def _one_line(text: str) -> str:
    # a line break inside a segment would end its line, row or cue
    return " ".join(text.splitlines()).strip()


def _segments_with_text(transcript: Transcript) -> Iterator[tuple[Segment, str]]:
    """Yields the segments that have text, with it in one line."""
    for segment in transcript.segments:
        text = _one_line(segment.text)
        if text:
            yield segment, text


def _render_txt(transcript: Transcript) -> str:
    return "".join(f"{text}\n" for _, text in _segments_with_text(transcript))


def _render_tsv(transcript: Transcript) -> str:
    rows = ["start\tend\ttext\n"]
    for segment, text in _segments_with_text(transcript):
        start, end = to_milliseconds(segment.start_s), to_milliseconds(segment.end_s)
        cell = text.replace("\t", " ")
        rows.append(f"{start}\t{end}\t{cell}\n")
    return "".join(rows)


def _render_cues(
    transcript: Transcript, options: SubtitleOptions, separator: str, *, hours: bool, escape: Callable[[str], str]
) -> Iterator[str]:
    found = build_cues(transcript, options, escape) if options.needs_words else _cues_from_segments(transcript, escape)
    for cue in found:
        start, end = (
            format_timestamp(to_milliseconds(second), separator, hours=hours) for second in (cue.start_s, cue.end_s)
        )
        # an arrow in the text would be parsed as a timing line; "--->" must not leave a new one
        yield f"{start} --> {end}\n{re.sub('--+>', '->', cue.text)}\n\n"


def _cues_from_segments(transcript: Transcript, escape: Callable[[str], str]) -> Iterator[Cue]:
    for segment, text in _segments_with_text(transcript):
        yield Cue(start_s=segment.start_s, end_s=segment.end_s, text=escape(text))


def _render_srt(transcript: Transcript, options: SubtitleOptions) -> str:
    cues = _render_cues(transcript, options, ",", hours=True, escape=str)
    return "".join(f"{n}\n{cue}" for n, cue in enumerate(cues, start=1))


def _render_vtt(transcript: Transcript, options: SubtitleOptions) -> str:
    return "WEBVTT\n\n" + "".join(_render_cues(transcript, options, ".", hours=False, escape=_escape_vtt))


def _escape_vtt(text: str) -> str:
    """Escapes what begins a tag or a character reference in WebVTT, and the end of an arrow."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _render_json(transcript: Transcript) -> str:
    return _dump_json({"text": transcript.text.strip()})


def _render_verbose_json(transcript: Transcript) -> str:
    return _dump_json(to_verbose(transcript))


def _decoding_notes(segment: Segment) -> dict[str, object]:
    """Returns `retries` and `is_truncated` of a segment, if there are any."""
    found: dict[str, object] = {}
    if segment.retries:
        found["retries"] = [{"temperature": retry.temperature, "reason": retry.reason} for retry in segment.retries]
    if segment.is_truncated:
        found["is_truncated"] = True
    return found


def _round_to_ms(seconds: float) -> float:
    return to_milliseconds(seconds) / 1000


def _dump_json(value: object) -> str:
    # NaN is not JSON: an error is better than a response that no client can parse
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


_WRITERS: Mapping[str, Callable[[Transcript], str]] = MappingProxyType(
    {
        "txt": _render_txt,
        "json": _render_json,
        "verbose_json": _render_verbose_json,
        "tsv": _render_tsv,
    }
)
_SUBTITLES: Mapping[str, Callable[[Transcript, SubtitleOptions], str]] = MappingProxyType(
    {"srt": _render_srt, "vtt": _render_vtt}
)
FORMATS = ("txt", "json", "verbose_json", "srt", "vtt", "tsv")
