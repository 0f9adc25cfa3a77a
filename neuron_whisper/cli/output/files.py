"""The files of `transcribe --output-dir`: how they are named, which are there already, and what cannot be written."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from neuron_whisper.errors import InvalidOption, OutputUnwritable

STDIN = "-"
DEFAULT_NAME_LIMIT_BYTES = 255  # of a file's name; almost every file system's
SUFFIXES = {"verbose_json": "json"}  # the other formats are their own


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFiles:
    """The files that an input becomes: `<directory>/<stem>.<format>` for each format."""

    directory: Path
    stem: str
    formats: Sequence[str]

    @property
    def paths(self) -> list[Path]:
        # not with_suffix: "talk.v2" keeps its dot
        return [self.directory / f"{self.stem}.{SUFFIXES.get(name, name)}" for name in self.formats]

    def find_existing(self) -> list[Path]:
        """Those that are there, and so would be replaced."""
        return [path for path in self.paths if path.exists()]

    def check(self) -> None:
        """Raises OutputUnwritable for a name that is too long or a directory's, as far as can be known beforehand."""
        limit = _read_name_limit(self.directory)
        for path in self.paths:
            if (size := len(os.fsencode(path.name))) > limit:
                raise OutputUnwritable(path, f"the name has {size} bytes of at most {limit}")
            if path.is_dir():
                raise OutputUnwritable(path, "it is a directory")


def plan_output_files(files: Sequence[str], directory: Path, formats: Sequence[str]) -> dict[str, OutputFiles]:
    """The output files of each input, a file that is given twice once. Raises InvalidOption, as check_directory."""
    check_directory(directory)
    inputs = list({file if file == STDIN else str(Path(file).absolute()): file for file in files}.values())
    return {
        file: OutputFiles(directory=directory, stem=stem, formats=formats)
        for file, stem in zip(inputs, choose_stems(inputs), strict=True)
    }


def check_directory(directory: Path) -> None:
    """Raises InvalidOption when files cannot be made in the directory, or it cannot be made. Makes nothing."""
    existing = _find_existing_part(directory)
    if not existing.is_dir():
        raise InvalidOption("output_dir", str(directory), f"{existing} is not a directory")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InvalidOption("output_dir", str(directory), f"a directory that this user can write ({existing} is not)")


def choose_stems(files: Sequence[str]) -> list[str]:
    """The stem of each input's output files, different for all, also where a file system ignores case.

    ["talk.mp3", "a/x.mp3", "b/x.wav"] -> ["talk", "x.mp3", "x.wav"]: inputs with the same stem keep their extension.
    ["a/x.mp3", "b/x.mp3"] -> ["a-x.mp3", "b-x.mp3"]: with the same name they get the directories that differ.
    """
    groups: dict[str, list[int]] = {}
    for index, file in enumerate(files):
        groups.setdefault(_fold(make_stem(file, 0)), []).append(index)
    stems = [""] * len(files)
    taken: set[str] = set()
    for indexes in sorted(groups.values(), key=len):  # a name that is alone stays as it is
        length = _find_length([files[index] for index in indexes])
        for index in indexes:
            stems[index] = _make_unique(make_stem(files[index], length), taken)
    return stems


def _find_length(files: Sequence[str]) -> int:
    """The fewest parts of their paths that tell the files apart; one where none do."""
    longest = max(len(Path(file).absolute().parts) for file in files)
    lengths = range(longest if len(files) > 1 else 1)
    return next((length for length in lengths if len({_fold(make_stem(it, length)) for it in files}) == len(files)), 1)


def make_stem(file: str, length: int = 0) -> str:
    """The stem, or the last `length` parts of the path: a/x.mp3 -> x; with 1 x.mp3; with 2 a-x.mp3."""
    if file == STDIN:
        return "stdin"
    return "-".join(Path(file).absolute().parts[1:][-length:]) if length else Path(file).stem


def _fold(name: str) -> str:
    """Equal for names that some file system takes for one."""
    return unicodedata.normalize("NFC", name).casefold()


def _make_unique(stem: str, taken: set[str]) -> str:
    """The stem, with a number where it is taken: x.mp3, x.mp3-2. Adds it to `taken`."""
    candidates = chain([stem], (f"{stem}-{number}" for number in count(2)))
    unique = next(candidate for candidate in candidates if _fold(candidate) not in taken)
    taken.add(_fold(unique))
    return unique


def _read_name_limit(directory: Path) -> int:
    try:
        return os.pathconf(_find_existing_part(directory), "PC_NAME_MAX")
    except OSError:
        return DEFAULT_NAME_LIMIT_BYTES


def _find_existing_part(path: Path) -> Path:
    """The path, or the nearest one above it that exists; a file or a link to nothing counts."""
    path = path.absolute()
    return next(part for part in (path, *path.parents) if os.path.lexists(part))
