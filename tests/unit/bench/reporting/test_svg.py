"""Elements of SVG charts."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from neuron_whisper.bench.reporting.svg import draw_bar, draw_document, draw_line, draw_text

SVG = "{http://www.w3.org/2000/svg}"


def test_a_document_is_xml_with_its_elements() -> None:
    text = draw_document(100, 50, [draw_text(1, 2, "a < b & c"), draw_line([(0, 0), (1.25, 2)], stroke="#000")])
    root = ET.fromstring(text)
    assert (root.get("width"), root.get("height")) == ("100", "50")
    assert [element.text for element in root.iter(f"{SVG}text")] == ["a < b & c"]
    [line] = root.iter(f"{SVG}polyline")
    assert line.get("points") == "0.0,0.0 1.2,2.0"


def test_a_bar_has_its_length() -> None:
    bar = ET.fromstring(draw_bar(10, 20, 33.34, 5, fill="#123456"))
    assert (bar.get("x"), bar.get("width"), bar.get("fill")) == ("10.0", "33.3", "#123456")
