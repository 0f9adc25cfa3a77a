"""What was measured as one plain document: rates with their counts, medians over runs, and all there was to hear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from neuron_whisper.bench.accuracy.metrics import (
    CHARACTER_LANGUAGES,
    ErrorCounts,
    character_errors,
    percentile,
    total,
    word_errors,
)
from neuron_whisper.bench.accuracy.run import Clip, Measured

FORMAT = 1
PERCENTILES = (50, 95, 99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A system that was asked for and could not be measured."""

    name: str
    reason: str
    install: str = ""


def document(
    clips: Sequence[Clip], results: Sequence[Measured], skipped: Sequence[Skipped], about: Mapping[str, Any]
) -> dict[str, Any]:
    """`about` is what the caller knows: date, command, machine, versions, options.

    Raises TargetUnavailable where the normalisers are missing.
    """
    whole = [result for result in results if not result.fault]
    broken = [Skipped(name=result.system.name, reason=result.fault) for result in results if result.fault]
    languages = sorted({clip.spoken.language for clip in clips})
    return {
        "format": FORMAT,
        **about,
        "speech": {
            "clips": len(clips),
            "audio_s": round(sum(clip.duration_s for clip in clips), 2),
            "languages": languages,
        },
        "clips": [
            {
                "name": clip.spoken.name,
                "language": clip.spoken.language,
                "audio_s": round(clip.duration_s, 2),
                "reference": clip.spoken.text,
            }
            for clip in clips
        ],
        "systems": [_system(result, clips, whole) for result in whole],
        "skipped": [asdict(it) for it in (*skipped, *broken)],
    }


def _system(result: Measured, clips: Sequence[Clip], others: Sequence[Measured]) -> dict[str, Any]:
    audio_s = sum(clip.duration_s for clip in clips)
    per_clip = [median(times) for times in zip(*result.seconds, strict=True)]
    took_s = median(sum(run) for run in result.seconds)
    words, characters = _counts(result, clips)
    opening = result.system.opening
    return {
        "name": result.system.name,
        "model": result.system.model,
        "engine": opening.engine,
        "variant": opening.variant,
        "threads": opening.threads,
        "is_serial": result.is_serial,
        **result.system.facts,
        "wer": _rate(word for word in words if word is not None),
        "cer": _rate(characters),
        "languages": {
            language: {
                "clips": len(at),
                "wer": _rate(word for n in at if (word := words[n]) is not None),
                "cer": _rate(characters[n] for n in at),
            }
            for language, at in _by_language(clips).items()
        },
        "runs_s": [round(sum(run), 4) for run in result.seconds],
        "rtf": round(took_s / audio_s, 5),
        "speed": round(audio_s / took_s, 3),
        "latency_s": {f"p{p}": round(percentile(per_clip, p), 4) for p in PERCENTILES},
        "throughput": {str(n): round(median(values), 3) for n, values in result.throughput.items()},
        "load_s": round(result.load_s, 3),
        "peak_bytes": result.peak_bytes,
        "texts_vary": result.texts_vary,
        "as_openai_whisper": _agreement(result, others),
        "clips": [
            {
                "text": text,
                "seconds": round(seconds, 4),
                "words": None if word is None else asdict(word),
                "characters": asdict(character),
            }
            for text, seconds, word, character in zip(result.texts, per_clip, words, characters, strict=True)
        ],
    }


def _counts(result: Measured, clips: Sequence[Clip]) -> tuple[list[ErrorCounts | None], list[ErrorCounts]]:
    """Word errors, None where the language is scored by characters; and character errors."""
    pairs = [(clip.spoken, text) for clip, text in zip(clips, result.texts, strict=True)]
    words = [
        None if spoken.language in CHARACTER_LANGUAGES else word_errors(spoken.text, text, spoken.language)
        for spoken, text in pairs
    ]
    return words, [character_errors(spoken.text, text, spoken.language) for spoken, text in pairs]


def _rate(counts: Any) -> dict[str, Any]:
    """The rate is None where no reference has a word."""
    found = total(counts)
    return {"rate": None if found.rate is None else round(found.rate, 5), **asdict(found)}


def _by_language(clips: Sequence[Clip]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for n, clip in enumerate(clips):
        found.setdefault(clip.spoken.language, []).append(n)
    return dict(sorted(found.items()))


def _agreement(result: Measured, others: Sequence[Measured]) -> dict[str, Any] | None:
    """How many clips have the text, and the tokens, of openai-whisper on the same model, and which do not (by number).

    None where it did not run.
    """
    model = result.system.model
    same = [it for it in others if it.system.opening.engine == "openai-whisper" and it.system.model == model]
    theirs = same[0] if same else None
    if theirs is None or theirs is result:
        return None
    texts = [one == other for one, other in zip(result.texts, theirs.texts, strict=True)]
    tokens = [one == other for one, other in zip(result.tokens, theirs.tokens, strict=True) if one is not None]
    return {
        "same_text": sum(texts),
        "same_tokens": sum(tokens) if tokens else None,
        "differing": [n for n, is_same in enumerate(texts) if not is_same],
    }
