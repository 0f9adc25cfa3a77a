"""Builds the report of a measurement: error rates with their counts, medians over runs, and every text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from neuron_whisper.bench.accuracy.metrics import (
    CHARACTER_LANGUAGES,
    ErrorCounts,
    count_character_errors,
    count_word_errors,
    normalise_text,
    percentile,
    sum_counts,
)
from neuron_whisper.bench.accuracy.run import DecodedClip, SystemResult
from neuron_whisper.bench.engines.results import GraphTotal

FORMAT = 1
NEURON_WHISPER, OPENAI_WHISPER = "neuron-whisper", "openai-whisper"
PERCENTILES = (50, 95, 99)


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedSystem:
    """A requested system that could not be measured."""

    name: str
    reason: str
    install: str = ""


def build_report(
    clips: Sequence[DecodedClip],
    results: Sequence[SystemResult],
    skipped: Sequence[SkippedSystem],
    run_info: Mapping[str, Any],
) -> dict[str, Any]:
    """The report as plain data; `run_info` comes from the caller: date, command, machine, versions, options.

    Raises TargetUnavailable where the normalisers are missing.
    """
    complete = [result for result in results if not result.error]
    failed = [SkippedSystem(name=result.system.name, reason=result.error) for result in results if result.error]
    languages = sorted({clip.utterance.language for clip in clips})
    return {
        "format": FORMAT,
        **run_info,
        "speech": {
            "clips": len(clips),
            "audio_s": round(sum(clip.duration_s for clip in clips), 2),
            "languages": languages,
        },
        "clips": [
            {
                "name": clip.utterance.name,
                "language": clip.utterance.language,
                "audio_s": round(clip.duration_s, 2),
                "reference": clip.utterance.text,
            }
            for clip in clips
        ],
        "systems": [_describe_system(result, clips, complete) for result in complete],
        "skipped": [asdict(it) for it in (*skipped, *failed)],
    }


def _describe_system(
    result: SystemResult, clips: Sequence[DecodedClip], others: Sequence[SystemResult]
) -> dict[str, Any]:
    audio_s = sum(clip.duration_s for clip in clips)
    per_clip = [median(times) for times in zip(*result.seconds, strict=True)]
    took_s = median(sum(run) for run in result.seconds)
    words, characters = _count_errors(result, clips)
    opening = result.system.config
    openai_whisper = None if opening.engine == OPENAI_WHISPER else _find_engine(OPENAI_WHISPER, result, others)
    return {
        "name": result.system.name,
        "model": result.system.model,
        "engine": opening.engine,
        "variant": opening.variant,
        "threads": opening.threads,
        "is_serial": result.is_serial,
        **result.system.facts,
        "wer": _total_rate(word for word in words if word is not None),
        "cer": _total_rate(characters),
        "languages": {
            language: {
                "clips": len(at),
                "wer": _total_rate(word for n in at if (word := words[n]) is not None),
                "cer": _total_rate(characters[n] for n in at),
                "as_openai_whisper": _compare(result, openai_whisper, clips, at),
            }
            for language, at in _group_by_language(clips).items()
        },
        "runs_s": [round(sum(run), 4) for run in result.seconds],
        "rtf": round(took_s / audio_s, 5),
        "speed": round(audio_s / took_s, 3),
        "latency_s": {f"p{p}": round(percentile(per_clip, p), 4) for p in PERCENTILES},
        "throughput": {str(n): round(median(values), 3) for n, values in result.throughput.items()},
        "load_s": round(result.load_s, 3),
        "peak_bytes": result.peak_bytes,
        "texts_vary": result.texts_vary,
        "graphs": {name: _describe_calls(total) for name, total in result.graphs.items() if total.calls},
        "as_openai_whisper": _compare(result, openai_whisper, clips),
        "as_neuron_whisper": None
        if result.system.is_ours
        else _compare(result, _find_engine(NEURON_WHISPER, result, others), clips),
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


def _count_errors(
    result: SystemResult, clips: Sequence[DecodedClip]
) -> tuple[list[ErrorCounts | None], list[ErrorCounts]]:
    """Word errors, None where the language is scored by characters; and character errors."""
    pairs = [(clip.utterance, text) for clip, text in zip(clips, result.texts, strict=True)]
    words = [
        None
        if utterance.language in CHARACTER_LANGUAGES
        else count_word_errors(utterance.text, text, utterance.language)
        for utterance, text in pairs
    ]
    return words, [count_character_errors(utterance.text, text, utterance.language) for utterance, text in pairs]


def _total_rate(counts: Any) -> dict[str, Any]:
    """The rate is None where no reference has a word."""
    counted = sum_counts(counts)
    return {"rate": None if counted.rate is None else round(counted.rate, 5), **asdict(counted)}


def count_errors(rate: Mapping[str, Any]) -> int:
    """Substitutions, deletions and insertions of a rate in a report."""
    return int(rate["substitutions"] + rate["deletions"] + rate["insertions"])


def _group_by_language(clips: Sequence[DecodedClip]) -> dict[str, list[int]]:
    positions: dict[str, list[int]] = {}
    for n, clip in enumerate(clips):
        positions.setdefault(clip.utterance.language, []).append(n)
    return dict(sorted(positions.items()))


def _describe_calls(total: GraphTotal) -> dict[str, Any]:
    """Of one call on average."""
    to_host = total.to_host_bytes
    return {
        "calls": total.calls,
        "mean_s": round(total.seconds / total.calls, 6),
        "to_host_bytes": None if to_host is None else round(to_host / total.calls),
    }


def _find_engine(engine: str, result: SystemResult, others: Sequence[SystemResult]) -> SystemResult | None:
    """The first system of an engine on the same model; None where it did not run."""
    same_model = (it for it in others if it.system.model == result.system.model)
    return next((it for it in same_model if it.system.config.engine == engine), None)


def _compare(
    result: SystemResult, theirs: SystemResult | None, clips: Sequence[DecodedClip], at: Sequence[int] | None = None
) -> dict[str, Any] | None:
    """How many clips (`at`: of these numbers) have the text, the normalised text and the tokens of `theirs`, and which
    have another text.

    `same_tokens` is None where an engine returns none.
    """
    if theirs is None:
        return None
    numbers = range(len(clips)) if at is None else at
    pairs = [(result.texts[n], theirs.texts[n], clips[n].utterance.language) for n in numbers]
    tokens = [result.tokens[n] == theirs.tokens[n] for n in numbers if result.tokens[n] is not None]
    return {
        "same_text": sum(one == other for one, other, _ in pairs),
        "same_normalised_text": sum(
            normalise_text(one, language) == normalise_text(other, language) for one, other, language in pairs
        ),
        "same_tokens": sum(tokens) if tokens else None,
        "differing": [n for n, (one, other, _) in zip(numbers, pairs, strict=True) if one != other],
    }
