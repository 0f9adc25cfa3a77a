"""Draws the goals as an SVG chart: the ratio of a peer's figure to ours, and where the goal lies."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.goals.report import GoalVerdict
from benchmarks.goals.rows import UNITS
from neuron_whisper.bench.reporting.svg import draw_bar, draw_document, draw_line, draw_text

ROW, BAR, TOP, LEFT, PANEL = 28, 16, 60, 560, 380  # pixels
MET, MISSED, LINE = "#1b6ac9", "#c96a1b", "#d64545"


def draw_svg(verdicts: Sequence[GoalVerdict]) -> str:
    """An SVG document; a bar that passes its line reaches its goal, a blue one meets it with equal error rates."""
    judged = [(verdict, verdict.ratio) for verdict in verdicts if verdict.ratio is not None]
    longest = max((max(ratio, verdict.goal.factor) for verdict, ratio in judged), default=1.0)
    elements = [draw_text(24, 28, "Times less than the peer: longer is better", size=16)]
    for n, (verdict, ratio) in enumerate(judged):
        y, length, goal = TOP + ROW * n, PANEL * ratio / longest, LEFT + PANEL * verdict.goal.factor / longest
        label = f"{verdict.goal.profile}: {verdict.title}, {UNITS[verdict.goal.metric]}: {verdict.their_name}"
        elements += [
            draw_text(LEFT - 10, y + BAR - 3, label, size=12, anchor="end"),
            draw_bar(LEFT, y, length, BAR, fill=MET if verdict.is_met else MISSED),
            draw_line([(goal, y - 4), (goal, y + BAR + 4)], stroke=LINE),
            draw_text(max(LEFT + length, goal) + 6, y + BAR - 3, f"{ratio:.1f} ({verdict.goal.factor:.3g})"),
        ]
    return draw_document(LEFT + PANEL + 90, TOP + ROW * len(judged) + 24, elements)
