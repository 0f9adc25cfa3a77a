"""Reads reference utterances from manifests (tsv, csv or jsonl) and directories."""

from __future__ import annotations

import csv
import fnmatch
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from neuron_whisper.errors import InvalidOption
from neuron_whisper.host.text_files import decode_text
from neuron_whisper.text.languages import to_language_code

# column names of common data sets, in order of preference
PATH_COLUMNS = ("path", "file", "audio", "audio_filepath", "wav")
TEXT_COLUMNS = ("text", "transcript", "transcription", "sentence", "reference")
LANGUAGE_COLUMNS = ("language", "lang", "locale")
AUDIO_SUFFIXES = frozenset(
    {
        ".wav",
        ".flac",
        ".mp3",
        ".m4a",
        ".mp4",
        ".aac",
        ".ogg",
        ".opus",
        ".webm",
        ".aiff",
        ".aif",
        ".mka",
        ".mkv",
        ".wma",
    }
)

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceUtterance:
    """A recording, its language and its reference text; an empty text means that it has no speech."""

    path: Path
    language: str
    text: str
    channel: int | None = None

    @property
    def name(self) -> str:
        return self.path.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A row of a manifest. `file` is as it stands there; `language` None: not known, or several ("en+de").

    `text` None: not known; an empty one means that there is no speech.
    """

    file: str
    path: Path
    language: str | None
    text: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFilter:
    """Selects rows. `where` are (column, value) pairs that a row must have, `skip` patterns of file names.

    `language` selects the rows in it, and is the language of rows without one.
    """

    language: str | None = None
    where: tuple[tuple[str, str], ...] = ()
    skip: tuple[str, ...] = ()
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.language is not None:
            object.__setattr__(self, "language", to_language_code(self.language))


def read_utterances(
    sources: Sequence[Path], row_filter: RowFilter | None = None
) -> tuple[list[ReferenceUtterance], int]:
    """(utterances in order, number of rows skipped because they have no text).

    Raises InvalidOption, naming the file and the line, for what cannot be read, a column or a file that is not
    present, a language that Whisper does not know, and when nothing is left.
    """
    row_filter = row_filter or RowFilter()
    utterances: list[ReferenceUtterance] = []
    n_without_text = 0
    for source in sources:
        if source.is_dir():
            utterances += _read_directory(source, row_filter)
            continue
        for place, row in _read_rows(source):
            if not _matches(row, row_filter, place):
                continue
            utterance = _parse_row(row, source.parent, place, row_filter)
            if utterance is None:
                n_without_text += 1
            else:
                utterances.append(utterance)
    utterances = utterances[: row_filter.limit]
    if not utterances:
        names = ", ".join(map(str, sources))
        raise InvalidOption("SPEECH", names, "sources with at least one selected recording that has a text")
    return utterances, n_without_text


def read_recordings(source: Path, row_filter: RowFilter) -> list[Recording]:
    """Every selected row of a manifest, with a text or without one.

    Raises InvalidOption as `read_utterances` does, and for a file that stands in two rows.
    """
    recordings: list[Recording] = []
    for place, row in _read_rows(source):
        if not _matches(row, row_filter, place):
            continue
        file, text = _find_cell(row, PATH_COLUMNS), _find_cell(row, TEXT_COLUMNS)
        path = _find_file(file, source.parent, place)
        language = _language_code_or_none(_find_cell(row, LANGUAGE_COLUMNS) or row_filter.language)
        if any(it.path == path for it in recordings):
            raise InvalidOption("MANIFEST", place, f"a file stands in one row; {file} stands in two")
        recordings.append(
            Recording(file=str(file), path=path, language=language, text=None if text is None else str(text).strip())
        )
    if not recordings:
        raise InvalidOption("MANIFEST", str(source), "a manifest with at least one selected row")
    return recordings


# --- directories ----------------------------------------------------------------------------------


def _read_directory(directory: Path, row_filter: RowFilter) -> Iterator[ReferenceUtterance]:
    """Each audio file that has a .txt of its name."""
    if row_filter.language is None:
        raise InvalidOption("SPEECH", str(directory), "a manifest: a directory has no language column; give --language")
    for path in sorted(directory.iterdir()):
        text = path.with_suffix(".txt")
        if path.suffix.lower() in AUDIO_SUFFIXES and text.is_file() and not _is_skipped(path.name, row_filter):
            yield ReferenceUtterance(path=path, language=row_filter.language, text=_read_text(text).strip())


# --- manifests ------------------------------------------------------------------------------------


def _read_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """("speech.tsv line 2", row), checked to have a path and a text column."""
    suffix = path.suffix.lower()
    if suffix not in (".tsv", ".csv", ".jsonl"):
        raise InvalidOption("SPEECH", str(path), "a manifest (.tsv, .csv, .jsonl) or a directory of audio and .txt")
    content = _read_text(path)
    if suffix == ".jsonl":
        for n, line in enumerate(content.splitlines(), start=1):
            if line.strip():
                place = f"{path.name} line {n}"
                row = _parse_object(line, place)
                _check_columns(row, place)
                yield place, {name: value for name, value in row.items() if value is not None}
        return
    # tab-separated files have no quoting: a text may begin with a quotation mark
    lines = content.splitlines()
    table = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE) if suffix == ".tsv" else csv.DictReader(lines)
    _check_columns(dict.fromkeys(table.fieldnames or ()), f"{path.name} line 1")
    for cells in table:
        # an empty cell is an unknown value; jsonl can express a text that is known to be empty
        yield f"{path.name} line {table.line_num}", {name: cell for name, cell in cells.items() if cell and name}


def _parse_object(line: str, place: str) -> Row:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise InvalidOption("SPEECH", place, f"a JSON object in each line: {error}") from None
    if not isinstance(row, dict):
        raise InvalidOption("SPEECH", place, "a JSON object in each line")
    return row


def _check_columns(columns: Row, place: str) -> None:
    for names in (PATH_COLUMNS, TEXT_COLUMNS):
        if not any(name in columns for name in names):
            columns_here = ", ".join(columns) or "none"
            raise InvalidOption("SPEECH", place, f"a column {' or '.join(names)}; its columns: {columns_here}")


def _matches(row: Row, row_filter: RowFilter, place: str) -> bool:
    if row_filter.where and (unknown := [name for name, _ in row_filter.where if name not in row]):
        raise InvalidOption("--where", unknown[0], f"a column of the manifest; {place} has {', '.join(row)}")
    if any(str(row[name]) != value for name, value in row_filter.where):
        return False
    language = _find_cell(row, LANGUAGE_COLUMNS)
    if (
        row_filter.language is not None
        and language is not None
        and _language_code_or_none(language) != row_filter.language
    ):
        return False
    return not _is_skipped(Path(str(_find_cell(row, PATH_COLUMNS))).name, row_filter)


def _parse_row(row: Row, base: Path, place: str, row_filter: RowFilter) -> ReferenceUtterance | None:
    """None when the row has no text. Paths are relative to the manifest."""
    text = _find_cell(row, TEXT_COLUMNS)
    if text is None:
        return None
    path = _find_file(_find_cell(row, PATH_COLUMNS), base, place)
    language_cell = _find_cell(row, LANGUAGE_COLUMNS) or row_filter.language
    if language_cell is None:
        raise InvalidOption("SPEECH", place, f"a column {' or '.join(LANGUAGE_COLUMNS)}, or give --language")
    try:
        language = to_language_code(str(language_cell))
    except InvalidOption as error:
        raise InvalidOption("SPEECH", place, f"a known language; {error.value!r} is none ({error.allowed})") from None
    channel = row.get("channel")
    if channel is not None and not str(channel).isdecimal():
        raise InvalidOption("SPEECH", place, f"channel is a number from 0; it is {channel!r}")
    number = None if channel is None else int(str(channel))
    return ReferenceUtterance(path=path, language=language, text=str(text).strip(), channel=number)


def _find_file(file: object | None, base: Path, place: str) -> Path:
    path = base / str(file)
    if file is None or not path.is_file():
        raise InvalidOption("SPEECH", place, f"an existing file; {path} is none")
    return path


def _find_cell(row: Row, names: Sequence[str]) -> object | None:
    return next((row[name] for name in names if name in row), None)


def _language_code_or_none(language: object) -> str | None:
    try:
        return to_language_code(str(language))
    except InvalidOption:
        return None


def _is_skipped(name: str, row_filter: RowFilter) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in row_filter.skip)


def _read_text(path: Path) -> str:
    try:
        return decode_text(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidOption("SPEECH", str(path), f"a file of UTF-8 text: {error}") from None
