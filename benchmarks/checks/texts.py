"""Texts of every recording of a manifest, kept in a file, and the changes from another installation's.

A text's key is (model, file, long form, word times or not). Error rates are of words by openai-whisper's normaliser;
of characters for languages that are scored so.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from neuron_whisper.bench.accuracy.manifest import Recording
from neuron_whisper.bench.accuracy.metrics import (
    CHARACTER_LANGUAGES,
    ErrorCounts,
    count_character_errors,
    count_word_errors,
    sum_counts,
)
from neuron_whisper.bench.reporting.markdown import DASH, format_table
from neuron_whisper.errors import InvalidOption, TargetUnavailable

WORKER = Path(__file__).with_name("transcribe_files.py")
Key = tuple[str, str, str, bool]
Log = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedText:
    """What an installation made of a recording. `segments` are (start, end), `skipped` (start, end, reason), in s.

    `errors` are of `reference_units` words or characters; None without a reference. `error` stands in place of a text.
    """

    model: str
    file: str
    long_form: str
    word_timestamps: bool
    language: str | None = None
    text: str = ""
    segments: tuple[tuple[float, float], ...] = ()
    warnings: tuple[str, ...] = ()
    skipped: tuple[tuple[float, float, str], ...] = ()
    error: str | None = None
    reference: str | None = None
    errors: int | None = None
    reference_units: int | None = None

    @property
    def key(self) -> Key:
        return self.model, self.file, self.long_form, self.word_timestamps

    @property
    def outcome(self) -> str:
        """The text, or the error in its place."""
        return self.text if self.error is None else f"error: {self.error}"

    @property
    def counts(self) -> ErrorCounts | None:
        if self.errors is None or self.reference_units is None:
            return None
        return ErrorCounts(substitutions=self.errors, reference=self.reference_units)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFile:
    """Texts of one installation: its version, and the compile profile."""

    version: str
    profile: str
    texts: tuple[RecordedText, ...]


# --- transcribing and files -----------------------------------------------------------------------


def transcribe_all(
    recordings: Sequence[Recording],
    *,
    models: Sequence[str],
    profile: str,
    options: Mapping[str, object],
    threads: int,
    python: str,
    log: Log,
) -> TextFile:
    """By the installation of `python`, in a process of its own. Raises TargetUnavailable when it ends with an error."""
    job = {
        "models": list(models),
        "profile": profile,
        "threads": threads,
        "options": dict(options),
        "recordings": [
            {"file": it.file, "path": str(it.path.absolute()), "language": it.language} for it in recordings
        ],
    }
    of_file = {it.file: it for it in recordings}
    texts = []
    with tempfile.TemporaryFile("w+", encoding="utf-8") as stdin:
        json.dump(job, stdin)
        stdin.seek(0)
        worker = subprocess.Popen([python, "-P", str(WORKER)], stdin=stdin, stdout=subprocess.PIPE, encoding="utf-8")
    with worker:
        assert worker.stdout is not None
        installation = json.loads(worker.stdout.readline() or '{"version": "", "package": ""}')
        log(f"neuron-whisper {installation['version']} of {installation['package']}")
        for line in worker.stdout:
            made = score_text(_parse_text(json.loads(line)), of_file)
            log(f"{made.model} {made.long_form}{' words' if made.word_timestamps else ''} {made.file}: {made.outcome}")
            texts.append(made)
    if worker.returncode:
        raise TargetUnavailable(python, f"it ended with {worker.returncode}; its error stands above")
    return TextFile(version=installation["version"], profile=profile, texts=tuple(texts))


def score_text(text: RecordedText, recordings: Mapping[str, Recording]) -> RecordedText:
    """With its recording's language and reference, and the errors against it; an error counts as an empty text."""
    recording = recordings[text.file]
    text = replace(text, language=recording.language, reference=recording.text)
    if recording.text is None or recording.language is None:
        return text
    counts = _count_errors(recording.text, text.text, recording.language)
    return replace(text, errors=counts.errors, reference_units=counts.reference)


def _count_errors(reference: str, text: str, language: str) -> ErrorCounts:
    count = count_character_errors if language in CHARACTER_LANGUAGES else count_word_errors
    return count(reference, text, language)


def write_texts(path: Path, texts: TextFile) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    head, tail = json.dumps({**asdict(replace(texts, texts=())), "texts": []}).split("[]")
    lines = ",\n".join(json.dumps(asdict(text), ensure_ascii=False) for text in texts.texts)  # a text on a line
    path.write_text(f"{head}[\n{lines}\n]{tail}\n", encoding="utf-8")


def read_texts(path: Path) -> TextFile:
    """Raises InvalidOption for what `write_texts` did not write."""
    try:
        made = json.loads(path.read_text(encoding="utf-8"))
        texts = tuple(_parse_text(each) for each in made["texts"])
        return TextFile(version=made["version"], profile=made["profile"], texts=texts)
    except (OSError, ValueError, TypeError, KeyError) as error:
        allowed = f"a file that --json wrote ({type(error).__name__}: {error})"
        raise InvalidOption("--before", str(path), allowed) from None


def _parse_text(fields: Mapping[str, Any]) -> RecordedText:
    made = RecordedText(**fields)
    return replace(
        made,
        segments=tuple((start_s, end_s) for start_s, end_s in made.segments),
        warnings=tuple(made.warnings),
        skipped=tuple((start_s, end_s, reason) for start_s, end_s, reason in made.skipped),
    )


# --- comparing ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TextComparison:
    """Texts that both files have, as (before, after) in the order of the later one.

    `n_times_changed` counts equal texts whose segments' times differ. `only_before` and `only_after` are the others.
    """

    pairs: tuple[tuple[RecordedText, RecordedText], ...]
    only_before: int
    only_after: int

    @property
    def changed(self) -> tuple[tuple[RecordedText, RecordedText], ...]:
        return tuple((one, other) for one, other in self.pairs if one.outcome != other.outcome)

    @property
    def n_times_changed(self) -> int:
        return sum(one.outcome == other.outcome and one.segments != other.segments for one, other in self.pairs)

    @property
    def warnings_changed(self) -> tuple[tuple[RecordedText, RecordedText], ...]:
        return tuple((one, other) for one, other in self.pairs if one.warnings != other.warnings)


def compare_texts(before: TextFile, after: TextFile) -> TextComparison:
    """Raises InvalidOption when they have no text in common."""
    earlier = {text.key: text for text in before.texts}
    pairs = tuple((earlier[text.key], text) for text in after.texts if text.key in earlier)
    if not pairs:
        raise InvalidOption("--before", f"{len(earlier)} texts", "a file with texts of the same models and recordings")
    return TextComparison(pairs=pairs, only_before=len(earlier) - len(pairs), only_after=len(after.texts) - len(pairs))


# --- reports --------------------------------------------------------------------------------------


def format_rates(pairs: Iterable[tuple[RecordedText | None, RecordedText]]) -> str:
    """A row for each model and setting: error rates in percent, "before -> after" where there are both.

    The total is of languages that are scored by words.
    """
    groups: dict[tuple[str, str], list[tuple[RecordedText | None, RecordedText]]] = {}
    for before, after in pairs:
        name = f"{after.long_form}{', word times' if after.word_timestamps else ''}"
        groups.setdefault((after.model, name), []).append((before, after))
    languages = sorted({it.language for group in groups.values() for _, it in group if it.counts and it.language})
    by_words = [language for language in languages if language not in CHARACTER_LANGUAGES]
    head = ["model", "setting", "WER %", *(f"CER % {it}" if it in CHARACTER_LANGUAGES else it for it in languages)]
    rows = (
        [*name, _format_cell(group, by_words), *(_format_cell(group, [language]) for language in languages)]
        for name, group in groups.items()
    )
    return format_table(head, rows, left=2)


def _format_cell(pairs: Sequence[tuple[RecordedText | None, RecordedText]], languages: Sequence[str]) -> str:
    chosen = [pair for pair in pairs if pair[1].language in languages]
    before = _format_rate(one for one, _ in chosen if one is not None)
    after = _format_rate(other for _, other in chosen)
    return after if before in (after, DASH) else f"{before} -> {after}"


def _format_rate(texts: Iterable[RecordedText]) -> str:
    rate = sum_counts(text.counts for text in texts if text.counts is not None).rate
    return DASH if rate is None else f"{100 * rate:.2f}"


def format_comparison(comparison: TextComparison) -> str:
    """Counts, every changed text and every changed warning, and the error rates of both."""
    n, changed = len(comparison.pairs), comparison.changed
    lines = [
        f"{n} texts compared: {n - len(changed)} equal, {len(changed)} changed. Times of {comparison.n_times_changed} "
        f"equal texts and warnings of {len(comparison.warnings_changed)} changed.",
    ]
    if comparison.only_before or comparison.only_after:
        lines.append(f"Not compared: {comparison.only_before} before and {comparison.only_after} after.")
    for before, after in changed:
        lines += ["", f"{_format_key(after)}: {_format_errors(before)} -> {_format_errors(after)}"]
        lines += [f"- {before.outcome}", f"+ {after.outcome}"]
    for before, after in comparison.warnings_changed:
        lines += ["", f"{_format_key(after)}: warnings", *(f"- {it}" for it in before.warnings)]
        lines += [f"+ {it}" for it in after.warnings]
    return "\n".join([*lines, "", format_rates(comparison.pairs)])


def _format_key(text: RecordedText) -> str:
    return f"{text.model} {text.file}, {text.long_form}{', word times' if text.word_timestamps else ''}"


def _format_errors(text: RecordedText) -> str:
    return "no reference" if text.counts is None else f"{text.errors} of {text.reference_units} wrong"
