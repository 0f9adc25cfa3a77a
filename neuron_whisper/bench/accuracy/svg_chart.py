"""Draws the report as an SVG chart: real-time factor and error rate of each system."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neuron_whisper.bench.reporting.svg import FAINT, draw_bar, draw_document, draw_text

ROW, BAR, TOP, GAP = 30, 18, 74, 24  # pixels
PANEL, VALUE = 280, 64  # widths of the longest bar and of the number after it
PER_CHARACTER = 7.2
OURS, THEIRS = "#1b6ac9", "#9aa5b1"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Panel:
    title: str
    values: Sequence[float | None]
    texts: Sequence[str]


def draw_svg(document: Mapping[str, Any]) -> str:
    """An SVG document. Bars begin at 0; shorter is better in both panels; neuron-whisper's are blue."""
    systems = document["systems"]
    names = [system["name"] for system in systems]
    left = GAP + PER_CHARACTER * max((len(name) for name in names), default=0) + 12
    width, height = left + 2 * (PANEL + VALUE) + GAP, TOP + ROW * len(systems) + GAP + 12
    speech, machine = document["speech"], document["machine"]
    footer = (
        f"{speech['clips']} clips, {speech['audio_s']:.0f} s; {machine['processor']}, {machine['cores']} cores; "
        f"{document['date'][:10]}"
    )
    elements = [
        draw_text(GAP, 28, "Real-time factor and error rate: shorter is better", size=16),
        *(draw_text(left - 12, TOP + ROW * n + BAR - 4, name, anchor="end") for n, name in enumerate(names)),
    ]
    is_ours = [system["engine"] == "neuron-whisper" for system in systems]
    for n, panel in enumerate((_speed_panel(systems), _error_panel(systems))):
        elements += _draw_bars(panel, left + n * (PANEL + VALUE), is_ours)
    elements.append(draw_text(GAP, height - 12, footer, size=11, fill=FAINT))
    return draw_document(width, height, elements)


def _speed_panel(systems: Sequence[Mapping[str, Any]]) -> _Panel:
    values = [system["rtf"] for system in systems]
    return _Panel(title="seconds per second of audio", values=values, texts=[f"{value:.3f}" for value in values])


def _error_panel(systems: Sequence[Mapping[str, Any]]) -> _Panel:
    """WER, or CER where every clip is scored by characters."""
    kind = "wer" if any(system["wer"]["rate"] is not None for system in systems) else "cer"
    values = [system[kind]["rate"] for system in systems]
    texts = ["none" if value is None else f"{100 * value:.2f} %" for value in values]
    return _Panel(title={"wer": "word error rate", "cer": "character error rate"}[kind], values=values, texts=texts)


def _draw_bars(panel: _Panel, x: float, is_ours: Sequence[bool]) -> Iterator[str]:
    yield draw_text(x, TOP - 14, panel.title, fill=FAINT)
    longest = max((value for value in panel.values if value), default=1.0)
    for n, (value, text, ours) in enumerate(zip(panel.values, panel.texts, is_ours, strict=True)):
        y, length = TOP + ROW * n, PANEL * (value or 0.0) / longest
        yield draw_bar(x, y, length, BAR, fill=OURS if ours else THEIRS)
        yield draw_text(x + length + 6, y + BAR - 4, text)
