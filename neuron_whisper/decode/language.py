"""Checks the task and the language of a transcription against the model."""

from __future__ import annotations

from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.errors import InvalidOption
from neuron_whisper.text.tokenizer import Tokenizer


def resolve_language(options: TranscribeOptions, tokenizer: Tokenizer) -> str | None:
    """The language's code, "en" for an English-only model; None: to be detected.

    Raises InvalidOption for a language that the model does not know, and for a translation by an English-only model or
    languages to choose from without its own.
    """
    if tokenizer.special.is_multilingual:
        if options.language is not None:
            tokenizer.to_language_token(options.language)
        return options.language
    if options.task == "translate":
        raise InvalidOption("task", options.task, "transcribe: this model is English-only and cannot translate")
    if options.language not in (None, "en"):
        raise InvalidOption("language", options.language, "en: this model is English-only")
    if options.languages and "en" not in options.languages:
        raise InvalidOption("languages", list(options.languages), "en must be one of them: this model is English-only")
    return "en"


def warn_of_detection(options: TranscribeOptions, tokenizer: Tokenizer) -> list[str]:
    """Warns of options of language detection, which an English-only model does not do."""
    if tokenizer.special.is_multilingual or options.language is not None:
        return []
    ignored = [
        name
        for name, is_ignored in (("multilingual", options.multilingual), ("languages", len(options.languages) > 1))
        if is_ignored
    ]
    return [f"{name} has no effect: this model is English-only and takes all speech for English" for name in ignored]


def find_spoken_language(options: TranscribeOptions, only_language: str | None) -> str | None:
    """The language that speech is in before any is heard: the one given, one alone to choose from, or the model's.

    `only_language` is that of a model which knows no other.
    """
    alone = options.languages[0] if len(options.languages) == 1 else None
    return options.language or alone or only_language
