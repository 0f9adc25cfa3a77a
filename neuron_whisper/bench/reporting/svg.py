"""Elements of SVG charts; positions are pixels."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

INK, FAINT = "#1f2933", "#616e7c"


def draw_document(width: float, height: float, elements: Iterable[str], *, font_size: int = 13) -> str:
    """A whole SVG document on a white ground."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
            f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="system-ui, sans-serif" font-size="{font_size}">',
            f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
            *elements,
            "</svg>\n",
        ]
    )


def draw_text(x: float, y: float, text: str, *, size: int = 13, anchor: str = "start", fill: str = INK) -> str:
    """Text whose baseline is at y; `anchor` start, middle or end lies at x."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{fill}">{escape(text)}</text>'
    )


def draw_bar(x: float, y: float, width: float, height: float, *, fill: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2" fill="{fill}"/>'


def draw_line(points: Iterable[tuple[float, float]], *, stroke: str, width: float = 2) -> str:
    """A line through all points."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{stroke}" stroke-width="{width:g}"/>'
