"""The report as an SVG chart."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

from neuron_whisper.bench.accuracy.svg_chart import draw_svg


def test_the_picture_is_svg_with_bars_in_proportion(report: dict[str, Any]) -> None:
    root = ET.fromstring(draw_svg(report))
    space = "{http://www.w3.org/2000/svg}"
    bars = [float(it.attrib["width"]) for it in root.iter(f"{space}rect")][1:]
    assert bars[:2] == [112.0, 280.0]  # RTF 0.1 and 0.25
    assert bars[2:] == [280.0, 0.0]  # WER 33 and 0 %
    texts = [it.text for it in root.iter(f"{space}text")]
    assert {"neuron-whisper tiny", "0.250", "33.33 %", "0.00 %"} <= set(texts)
    assert any("A <fast> one" in (text or "") for text in texts)
