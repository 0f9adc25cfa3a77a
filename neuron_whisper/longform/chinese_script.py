"""A plan's texts in the Chinese script that was asked for. Tokens stay the model's: windows are prompted with them."""

from __future__ import annotations

from dataclasses import replace

from neuron_whisper.longform.plan import Item, Outcome, Plan
from neuron_whisper.text.chinese import CHINESE_LANGUAGES, Converter, convert_words
from neuron_whisper.transcript import Dropped, Segment


def in_script(plan: Plan, convert: Converter) -> Plan:
    """The same plan; what it tells of Chinese is converted."""
    item = next(plan, None)
    language: str | None = None
    while item is not None:
        if isinstance(item, Segment):
            language = item.language or language
        answer = yield _converted(item, language, convert)
        try:
            item = plan.send(answer)
        except StopIteration:
            return


def _converted(item: Item, language: str | None, convert: Converter) -> Item:
    if isinstance(item, Outcome):
        # a clip may hold several languages; its text is Chinese where the clip is
        return replace(item, text=convert(item.text)) if item.language in CHINESE_LANGUAGES else item
    if language not in CHINESE_LANGUAGES:
        return item
    if isinstance(item, Dropped):
        return replace(item, text=convert(item.text))
    if isinstance(item, Segment):
        return _segment(item, convert)
    return item


def _segment(segment: Segment, convert: Converter) -> Segment:
    texts = convert_words([word.text for word in segment.words], convert)
    words = tuple(replace(word, text=text) for word, text in zip(segment.words, texts, strict=True))
    return replace(segment, text=convert(segment.text), words=words)
