"""The result of a transcription, and what its graphs took, as data that a worker process sends."""

from __future__ import annotations

from dataclasses import dataclass

TimedText = tuple[float, float, str]  # start and end in seconds, text


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphTotal:
    """The calls of one kind of graph since the engine was opened, their seconds, and the bytes of their results that
    came to the host; None where they are not known.
    """

    name: str
    calls: int
    seconds: float
    to_host_bytes: int | None = None

    def since(self, earlier: GraphTotal | None) -> GraphTotal:
        """What was added after `earlier`; None: nothing was there."""
        return self._combine(earlier, -1)

    def plus(self, other: GraphTotal | None) -> GraphTotal:
        return self._combine(other, 1)

    def _combine(self, other: GraphTotal | None, sign: int) -> GraphTotal:
        if other is None:
            return self
        known = self.to_host_bytes is not None and other.to_host_bytes is not None
        return GraphTotal(
            name=self.name,
            calls=self.calls + sign * other.calls,
            seconds=self.seconds + sign * other.seconds,
            to_host_bytes=(self.to_host_bytes or 0) + sign * (other.to_host_bytes or 0) if known else None,
        )


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
