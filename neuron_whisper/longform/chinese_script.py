"""Converts a plan's texts to a Chinese script. Tokens stay as decoded: windows are prompted with them."""

from __future__ import annotations

from dataclasses import replace

from neuron_whisper.longform.plan import Plan, PlanItem, TranscriptSummary
from neuron_whisper.text.chinese import CHINESE_LANGUAGES, ScriptConverter, convert_words
from neuron_whisper.transcript import Segment, SkippedRegion


def convert_script(plan: Plan, convert: ScriptConverter) -> Plan:
    """Runs the plan and converts its Chinese texts."""
    item = next(plan, None)
    language: str | None = None
    while item is not None:
        if isinstance(item, Segment):
            language = item.language or language
        plan_input = yield _convert_item(item, language, convert)
        try:
            item = plan.send(plan_input)
        except StopIteration:
            return


def _convert_item(item: PlanItem, language: str | None, convert: ScriptConverter) -> PlanItem:
    if isinstance(item, TranscriptSummary):
        # a clip may hold several languages; its summary is converted if the clip is Chinese
        return replace(item, text=convert(item.text)) if item.language in CHINESE_LANGUAGES else item
    if language not in CHINESE_LANGUAGES:
        return item
    if isinstance(item, SkippedRegion):
        return replace(item, text=convert(item.text))
    if isinstance(item, Segment):
        return _convert_segment(item, convert)
    return item


def _convert_segment(segment: Segment, convert: ScriptConverter) -> Segment:
    texts = convert_words([word.text for word in segment.words], convert)
    words = tuple(replace(word, text=text) for word, text in zip(segment.words, texts, strict=True))
    return replace(segment, text=convert(segment.text), words=words)
