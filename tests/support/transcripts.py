"""Transcripts for tests of formats."""

from __future__ import annotations

from neuron_whisper.transcript import Segment, Transcript, Word


def make_segment(start_s: float, end_s: float, text: str, n: int = 0, words: tuple[Word, ...] = ()) -> Segment:
    return Segment(
        id=n,
        seek_s=0.0,
        start_s=start_s,
        end_s=end_s,
        text=text,
        tokens=(50364, 1029, 50514),
        temperature=0.0,
        avg_logprob=-0.25,
        compression_ratio=1.5,
        no_speech_prob=0.01,
        words=words,
    )


def make_transcript(*segments: Segment, language: str | None = "en") -> Transcript:
    text = "".join(segment.text for segment in segments)
    return Transcript(text=text, language=language, duration_s=11.0, segments=segments)


TWO_SEGMENTS = make_transcript(
    make_segment(0.0, 1.001, " And so,"), make_segment(1.001, 3661.5, " my fellow --> friends.", 1)
)


def make_segment_of_words(*texts: str, start_s: float = 0.0, n: int = 0) -> Segment:
    """A word every half second, each 0.4 s long."""
    words = tuple(
        Word(start_s=start_s + 0.5 * at, end_s=start_s + 0.5 * at + 0.4, text=text, probability=0.9)
        for at, text in enumerate(texts)
    )
    return make_segment(words[0].start_s, words[-1].end_s, "".join(texts), n, words)


QUOTE = make_transcript(
    make_segment_of_words(" Ask", " not", " what", " your", " country"),
    make_segment_of_words(" can", " do", " for", " you.", start_s=2.5, n=1),
)
