"""The result of a transcription, as data that a worker process sends."""

from __future__ import annotations

from dataclasses import dataclass

TimedText = tuple[float, float, str]  # start and end in seconds, text


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptionResult:
    """Text, tokens and times of one clip.

    `tokens` are the model's, timestamps included. `tokens`, `segments` and `words` are None where the engine does not
    return them; `words` are requested by DecodingConfig.word_timestamps.
    """

    text: str
    tokens: list[int] | None = None
    segments: list[TimedText] | None = None
    words: list[TimedText] | None = None
