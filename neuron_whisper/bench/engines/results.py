"""What a system heard, as data that comes from its process."""

from __future__ import annotations

from dataclasses import dataclass

TimedText = tuple[float, float, str]  # start and end in seconds, text


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptionResult:
    """`tokens` are the model's, timestamps included; None where the engine does not tell them. So are `segments`, and
    `words`, which are there where they were asked for.
    """

    text: str
    tokens: list[int] | None = None
    segments: list[TimedText] | None = None
    words: list[TimedText] | None = None
