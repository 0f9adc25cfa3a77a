"""The goals as an SVG chart."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from benchmarks.goals.report import judge_goals
from benchmarks.goals.svg_chart import draw_svg
from tests.support.goal_reports import merged_report, row_result


def test_the_picture_has_a_bar_and_a_line_for_each_goal_that_was_judged() -> None:
    verdicts = judge_goals(
        merged_report(row_result("neuron-whisper cpu", [1.0]), row_result("faster-whisper int8", [6.0]))
    )
    drawn = ET.fromstring(draw_svg(verdicts))
    space = "{http://www.w3.org/2000/svg}"
    _, bar = drawn.findall(f"{space}rect")
    [line] = drawn.findall(f"{space}polyline")
    left = float(bar.get("x", 0))
    assert float(line.get("points", "").split(",")[0]) - left == pytest.approx(float(bar.get("width", 0)) / 3, abs=0.1)
