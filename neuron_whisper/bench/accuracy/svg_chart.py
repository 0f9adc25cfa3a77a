"""The report as a picture: RTF and error rate of each system side by side, in SVG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

ROW, BAR, TOP, GAP = 30, 18, 74, 24  # pixels
PANEL, VALUE = 280, 64  # widths of the bars' room and of the number behind them
PER_CHARACTER = 7.2
OURS, THEIRS, INK, FAINT = "#1b6ac9", "#9aa5b1", "#1f2933", "#616e7c"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Panel:
    title: str
    values: Sequence[float | None]
    texts: Sequence[str]


def draw_svg(document: Mapping[str, Any]) -> str:
    """An SVG. Bars begin at 0; shorter is better in both panels; ours are blue."""
    systems = document["systems"]
    names = [system["name"] for system in systems]
    panels = [_speed_panel(systems), _error_panel(systems)]
    left = GAP + PER_CHARACTER * max((len(name) for name in names), default=0) + 12
    width, height = left + 2 * (PANEL + VALUE) + GAP, TOP + ROW * len(systems) + GAP + 12
    speech, machine = document["speech"], document["machine"]
    below = f"{speech['clips']} clips, {speech['audio_s']:.0f} s; {machine['processor']}, {machine['cores']} cores"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" '
        f'viewBox="0 0 {width:.0f} {height}" font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{width:.0f}" height="{height}" fill="#ffffff"/>',
        _draw_text(GAP, 28, "Real-time factor and error rate: shorter is better", size=16),
        *(_draw_text(left - 12, TOP + ROW * n + BAR - 4, name, anchor="end") for n, name in enumerate(names)),
    ]
    for n, panel in enumerate(panels):
        lines += _draw_bars(
            panel, left + n * (PANEL + VALUE), [system["engine"] == "neuron-whisper" for system in systems]
        )
    lines += [_draw_text(GAP, height - 12, f"{below}; {document['date'][:10]}", size=11, fill=FAINT), "</svg>"]
    return "\n".join(lines) + "\n"


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
    yield _draw_text(x, TOP - 14, panel.title, fill=FAINT)
    most = max((value for value in panel.values if value), default=1.0)
    for n, (value, text, ours) in enumerate(zip(panel.values, panel.texts, is_ours, strict=True)):
        y, length = TOP + ROW * n, PANEL * (value or 0.0) / most
        fill = OURS if ours else THEIRS
        yield f'<rect x="{x:.1f}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2" fill="{fill}"/>'
        yield _draw_text(x + length + 6, y + BAR - 4, text)


def _draw_text(x: float, y: float, text: str, *, size: int = 13, anchor: str = "start", fill: str = INK) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{fill}">{escape(text)}</text>'
    )
