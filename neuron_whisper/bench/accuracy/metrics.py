"""Word and character error rates with the counts behind them, and percentiles."""

from __future__ import annotations

import math
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

from neuron_whisper.errors import InvalidOption, TargetUnavailable
from neuron_whisper.text.chinese import CHINESE_LANGUAGES, load_converter

# scored by characters: word boundaries are not written, or (ko) are a matter of style
CHARACTER_LANGUAGES = frozenset({"zh", "yue", "ja", "ko", "th", "lo", "my", "km"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorCounts:
    """Edits that turn a reference into a hypothesis; `reference` is the reference's number of words or characters."""

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    reference: int = 0

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float | None:
        """Errors per word or character of the reference; None when that is empty."""
        return self.errors / self.reference if self.reference else None

    def __add__(self, other: ErrorCounts) -> ErrorCounts:
        return ErrorCounts(
            substitutions=self.substitutions + other.substitutions,
            deletions=self.deletions + other.deletions,
            insertions=self.insertions + other.insertions,
            reference=self.reference + other.reference,
        )


def sum_counts(counts: Iterable[ErrorCounts]) -> ErrorCounts:
    return sum(counts, ErrorCounts())


def count_word_errors(reference: str, hypothesis: str, language: str) -> ErrorCounts:
    """By openai-whisper's normaliser of the language. Raises TargetUnavailable where jiwer or it is missing."""
    normalise = _create_normaliser(language)
    return _count_errors(normalise(reference).split(), normalise(hypothesis).split())


def count_character_errors(reference: str, hypothesis: str, language: str) -> ErrorCounts:
    """Of CHARACTER_LANGUAGES without spaces and punctuation, after NFKC, Chinese in one script; else of the normalised
    words, with spaces.

    "東京、です。" against "東京 で" -> one deletion of four characters.
    """
    if language in CHARACTER_LANGUAGES:
        in_one_script = _script_converter(language)
        return _count_errors(*(list(_strip_punctuation(in_one_script(text))) for text in (reference, hypothesis)))
    normalise = _create_normaliser(language)
    one, other = (" ".join(normalise(text).split()) for text in (reference, hypothesis))
    return _count_errors(list(one), list(other))


def _script_converter(language: str) -> Callable[[str], str]:
    """Chinese in simplified characters, whichever a reference and a model chose; as it is where OpenCC is missing."""
    if language in CHINESE_LANGUAGES:
        with suppress(InvalidOption):
            return load_converter("simplified")
    return lambda text: text


def normalise_text(text: str, language: str) -> str:
    """By openai-whisper's normaliser of the language: English's own, the basic one for others.

    "Mr. Brown's, ok" -> "mister brown is ok". Raises TargetUnavailable where it is missing.
    """
    return _create_normaliser(language)(text)


def percentile(values: Sequence[float], percent: float) -> float:
    """Linear between the two nearest: percentile([1, 2, 3, 4], 50) -> 2.5. Raises ValueError without values."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _count_errors(reference: list[str], hypothesis: list[str]) -> ErrorCounts:
    if not reference:
        return ErrorCounts(insertions=len(hypothesis))
    if not hypothesis:
        return ErrorCounts(deletions=len(reference), reference=len(reference))
    try:
        import jiwer
    except ImportError:
        raise _missing_package("jiwer") from None
    # jiwer splits at spaces, which are characters here: each word or character stands as its number
    numbers = {unit: str(n) for n, unit in enumerate(dict.fromkeys((*reference, *hypothesis)))}
    one, other = (" ".join(numbers[unit] for unit in units) for units in (reference, hypothesis))
    edits = jiwer.process_words(one, other)
    return ErrorCounts(
        substitutions=edits.substitutions,
        deletions=edits.deletions,
        insertions=edits.insertions,
        reference=len(reference),
    )


def _strip_punctuation(text: str) -> str:
    """NFKC, lower case, without what is neither letter, mark, number nor symbol."""
    return "".join(
        character
        for character in unicodedata.normalize("NFKC", text).lower()
        if unicodedata.category(character)[0] not in "PZC"
    )


@lru_cache(maxsize=2)
def _load_normaliser(is_english: bool) -> Callable[[str], str]:
    try:
        from whisper.normalizers import BasicTextNormalizer, EnglishTextNormalizer
    except ImportError:
        raise _missing_package("openai-whisper") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves its table of spellings open
        made: Callable[[str], str] = EnglishTextNormalizer() if is_english else BasicTextNormalizer()
    return made


def _create_normaliser(language: str) -> Callable[[str], str]:
    normalise = _load_normaliser(language == "en")
    return lambda text: re.sub(r"\s+", " ", normalise(text)).strip()


def _missing_package(package: str) -> TargetUnavailable:
    return TargetUnavailable("bench", f"{package} is not installed", "pip install 'neuron-whisper[bench]'")
