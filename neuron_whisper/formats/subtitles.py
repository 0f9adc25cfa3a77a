"""Lays out the words of a transcript as subtitle cues. Rules and names are openai/whisper's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from neuron_whisper.errors import InvalidOption
from neuron_whisper.option_spec import SAME, check_options, option
from neuron_whisper.transcript import Segment, Transcript, Word

LONG_PAUSE_S = 3.0  # openai/whisper utils.py: words this far apart never share a cue that runs over segments
NO_LIMIT = 1000  # openai/whisper utils.py: characters in a line, words in a cue
GROUP = "Subtitles"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubtitleOptions:
    """Layout of srt and vtt; with the defaults a cue is a segment. Raises InvalidOption.

    `max_line_width` characters in a line. `max_line_count` lines in a cue; cues then run over the ends of
    segments, and it needs a width. `max_words_per_line` words in a cue, which a width would make pointless.
    `highlight_words`: a cue per word, with that word underlined.
    """

    max_line_width: int | None = option(
        None,
        "integer",
        "Maximum number of characters in a line of subtitles.",
        group=GROUP,
        minimum=1,
        maximum=NO_LIMIT,
        metavar="N",
        flags=(SAME,),
        form_field=SAME,
    )
    max_line_count: int | None = option(
        None,
        "integer",
        "Maximum number of lines in a subtitle; needs max_line_width.",
        group=GROUP,
        minimum=1,
        maximum=NO_LIMIT,
        metavar="N",
        flags=(SAME,),
        form_field=SAME,
    )
    max_words_per_line: int | None = option(
        None,
        "integer",
        "Maximum number of words in a subtitle; not with max_line_width.",
        group=GROUP,
        minimum=1,
        maximum=NO_LIMIT,
        metavar="N",
        flags=(SAME,),
        form_field=SAME,
    )
    highlight_words: bool = option(
        False,
        "boolean",
        "Underline each word in subtitles while it is spoken.",
        group=GROUP,
        flags=(SAME,),
        form_field=SAME,
    )

    def __post_init__(self) -> None:
        check_options(self)
        if self.max_line_count is not None and self.max_line_width is None:
            raise InvalidOption("max_line_count", self.max_line_count, "it needs max_line_width, which fills the lines")
        if self.max_words_per_line is not None and self.max_line_width is not None:
            raise InvalidOption(
                "max_words_per_line", self.max_words_per_line, "give it or max_line_width: both say where a line ends"
            )

    @property
    def needs_words(self) -> bool:
        return self != SubtitleOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """One subtitle; its text has no empty line."""

    start_s: float
    end_s: float
    text: str


def build_cues(transcript: Transcript, options: SubtitleOptions, escape: Callable[[str], str] = str) -> Iterator[Cue]:
    """Builds cues in order of time from word times. Raises InvalidOption if a segment with text has no words.

    `escape` makes a word's text what the format writes; the limits count characters before it.
    """
    for grouped in _group_words(_segments_with_words(transcript, options), options):
        words = [replace(word, text=escape(word.text)) for word in grouped]
        text = "".join(word.text for word in words)
        if not options.highlight_words:
            yield Cue(start_s=words[0].start_s, end_s=words[-1].end_s, text=text)
            continue
        emitted_until_s = words[0].start_s
        for at, word in enumerate(words):
            # compared as written: a gap under a millisecond is none
            if round(emitted_until_s * 1000) != round(word.start_s * 1000):
                yield Cue(start_s=emitted_until_s, end_s=word.start_s, text=text)
            marked = "".join(_underline(it.text) if n == at else it.text for n, it in enumerate(words))
            yield Cue(start_s=word.start_s, end_s=word.end_s, text=marked)
            emitted_until_s = word.end_s


def _segments_with_words(transcript: Transcript, options: SubtitleOptions) -> list[Segment]:
    """Returns the segments with line breaks and blank words removed."""
    segments = []
    for segment in transcript.segments:
        words = tuple(
            replace(word, text=" ".join(word.text.splitlines())) for word in segment.words if word.text.strip()
        )
        if not words and segment.text.strip():
            option = next(name for name in options.__slots__ if getattr(options, name))
            raise InvalidOption(option, getattr(options, option), "it needs word_timestamps")
        segments.append(replace(segment, words=words))
    return segments


def _group_words(segments: list[Segment], options: SubtitleOptions) -> Iterator[list[Word]]:
    """Groups words into cues; a word that begins a line after the first has the line break in front."""
    keeps_segments = options.max_line_count is None or options.max_line_width is None
    width, max_words = options.max_line_width or NO_LIMIT, options.max_words_per_line or NO_LIMIT
    cue: list[Word] = []
    line_length, n_lines = 0, 1
    last_s = next((word.start_s for segment in segments for word in segment.words), 0.0)
    for segment in segments:
        for n, word in enumerate(segment.words):
            is_late = not keeps_segments and word.start_s - last_s > LONG_PAUSE_S
            is_apart = keeps_segments and n % max_words == 0 and bool(cue)
            if line_length and line_length + len(word.text) <= width and not is_late and not is_apart:
                line_length += len(word.text)
            else:
                text = word.text.strip()
                is_full = options.max_line_count is not None and (is_late or n_lines >= options.max_line_count)
                if (cue and is_full) or is_apart:
                    yield cue
                    cue, n_lines = [], 1
                elif line_length:
                    n_lines += 1
                    text = "\n" + text
                line_length = len(text.strip())
                word = replace(word, text=text)
            cue.append(word)
            last_s = word.start_s
    if cue:
        yield cue


def _underline(text: str) -> str:
    """Underlines a word, leading white space excluded: " And" -> " <u>And</u>"."""
    word = text.lstrip()
    return f"{text[: len(text) - len(word)]}<u>{word}</u>"
