"""The goals as a picture: how many times less than each peer's our figure is, and where the goal lies, in SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from benchmarks.goals.report import GoalVerdict
from benchmarks.goals.rows import UNITS

ROW, BAR, TOP, LEFT, PANEL = 28, 16, 60, 470, 380  # pixels
MET, MISSED, INK, LINE = "#1b6ac9", "#c96a1b", "#1f2933", "#d64545"


def draw_svg(verdicts: Sequence[GoalVerdict]) -> str:
    """An SVG; a bar that passes its line reaches its goal, a blue one meets it with equal errors."""
    judged = [it for it in verdicts if it.ratio is not None]
    width, height = LEFT + PANEL + 90, TOP + ROW * len(judged) + 24
    most = max((max(it.ratio or 0.0, it.goal.factor) for it in judged), default=1.0)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="24" y="28" font-size="16" fill="{INK}">Times less than the peer: longer is better</text>',
    ]
    for n, it in enumerate(judged):
        assert it.ratio is not None
        y, length, goal = TOP + ROW * n, PANEL * it.ratio / most, LEFT + PANEL * it.goal.factor / most
        told = f"{it.title}, {UNITS[it.goal.metric]}: {it.their_name}"
        lines += [
            f'<text x="{LEFT - 10}" y="{y + BAR - 3}" text-anchor="end" font-size="12" fill="{INK}">'
            f"{escape(told)}</text>",
            f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2" '
            f'fill="{MET if it.is_met else MISSED}"/>',
            f'<line x1="{goal:.1f}" x2="{goal:.1f}" y1="{y - 4}" y2="{y + BAR + 4}" stroke="{LINE}" stroke-width="2"/>',
            f'<text x="{max(LEFT + length, goal) + 6:.1f}" y="{y + BAR - 3}" fill="{INK}">{it.ratio:.1f} '
            f"({it.goal.factor:g})</text>",
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"
