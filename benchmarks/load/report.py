"""Figures of a load test as JSON, Markdown and a picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from benchmarks.load.clients import MemoryRecorder, RequestResult
from neuron_whisper.bench.accuracy.metrics import percentile

PERCENTS = (50, 95, 99)
WIDTH, HEIGHT, LEFT, TOP, BOTTOM, GAP = 400, 300, 64, 56, 48, 40  # pixels of a panel and around it
COLOURS = {"p50": "#1b6ac9", "p95": "#d97706", "p99": "#b91c1c", "rate": "#047857"}
INK, FAINT = "#1f2933", "#616e7c"


def summarize_level(
    results: Sequence[RequestResult], *, clients: int, duration_s: float, memory: MemoryRecorder | None
) -> dict[str, Any]:
    """What a level came to. Seconds; latency is that of requests that were answered with a transcript."""
    ok = [it for it in results if it.outcome == "ok"]
    refused = [it for it in results if it.outcome == "refused"]
    took_s = max((it.at_s + it.took_s for it in results), default=duration_s)
    document: dict[str, Any] = {
        "clients": clients,
        "duration_s": round(took_s, 2),
        "requests": len(results),
        "ok": len(ok),
        "refused": len(refused),
        "errors": dict(Counter(it.outcome for it in results if it.outcome not in ("ok", "refused"))),
        "latency_s": _summarize_latency([it.took_s for it in ok]),
        "refusal_s": _summarize_latency([it.took_s for it in refused]),
        "requests_per_s": round(len(ok) / took_s, 3),
        "audio_s_per_s": round(sum(it.audio_s for it in ok) / took_s, 2),
    }
    if memory is not None and memory.samples:
        seen = [used for _, used in memory.samples]
        document["resident_mb"] = {
            "first": seen[0] >> 20,
            "last": seen[-1] >> 20,
            "most": max(seen) >> 20,
            "samples": [(round(at), used >> 20) for at, used in memory.samples],
        }
    return document


def _summarize_latency(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    told = {f"p{percent}": round(percentile(values, percent), 3) for percent in PERCENTS}
    return {**told, "max": round(max(values), 3)}


def format_markdown(document: Mapping[str, Any]) -> str:
    """A line about the run and a table with a row for each number of clients."""
    head = (
        "clients",
        "requests",
        "ok",
        "refused",
        "errors",
        "p50 s",
        "p95 s",
        "p99 s",
        "refused within s",
        "requests/s",
        "audio s/s",
        "resident MB",
    )
    rows = [
        (
            level["clients"],
            level["requests"],
            level["ok"],
            level["refused"],
            ", ".join(f"{kind}: {n}" for kind, n in level["errors"].items()) or 0,
            *(level["latency_s"].get(f"p{percent}", "") for percent in PERCENTS),
            level["refusal_s"].get("max", ""),
            level["requests_per_s"],
            level["audio_s_per_s"],
            "{first} to {last}, most {most}".format(**level["resident_mb"]) if "resident_mb" in level else "",
        )
        for level in document["levels"]
    ]
    lines = [
        f"{document['clips']} clips of {document['shortest_s']:.1f} to {document['longest_s']:.1f} s; "
        f"{document['date']}; `{document['command']}`",
        "",
    ]
    lines += [_format_row(head), _format_row("---" for _ in head), *map(_format_row, rows)]
    return "\n".join(lines) + "\n"


def _format_row(cells: Any) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def draw_svg(document: Mapping[str, Any]) -> str:
    """An SVG: latency, and throughput, against the number of clients."""
    levels = document["levels"]
    clients = [level["clients"] for level in levels]
    latency = {f"p{percent}": [level["latency_s"].get(f"p{percent}") for level in levels] for percent in PERCENTS}
    rate = {"rate": [level["audio_s_per_s"] for level in levels]}
    width, height = 2 * (LEFT + WIDTH) + GAP, TOP + HEIGHT + BOTTOM
    return (
        "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
                f'viewBox="0 0 {width} {height}" '
                f'font-family="system-ui, sans-serif" font-size="12">',
                f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
                *_draw_panel(LEFT, "latency, s, against clients", clients, latency),
                *_draw_panel(2 * LEFT + WIDTH, "seconds of audio a second, against clients", clients, rate),
                "</svg>",
            ]
        )
        + "\n"
    )


def _draw_panel(x: int, title: str, at: Sequence[int], lines: Mapping[str, Sequence[float | None]]) -> Iterator[str]:
    most = max((value for values in lines.values() for value in values if value), default=1.0)
    furthest = max(at, default=1)

    def place(clients: float, value: float) -> tuple[float, float]:
        return x + WIDTH * clients / furthest, TOP + HEIGHT * (1 - value / most)

    yield f'<text x="{x}" y="24" font-size="14" fill="{INK}">{escape(title)}</text>'
    yield f'<path d="M{x} {TOP}V{TOP + HEIGHT}H{x + WIDTH}" fill="none" stroke="{FAINT}"/>'
    for share in (0.0, 0.5, 1.0):
        _, y = place(0, most * share)
        yield f'<text x="{x - 6}" y="{y + 4:.1f}" text-anchor="end" fill="{FAINT}">{most * share:.3g}</text>'
    for clients in at:
        at_x, _ = place(clients, 0)
        yield f'<text x="{at_x:.1f}" y="{TOP + HEIGHT + 18}" text-anchor="middle" fill="{FAINT}">{clients}</text>'
    for n, (name, values) in enumerate(lines.items()):
        places = [place(clients, value) for clients, value in zip(at, values, strict=True) if value is not None]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in places)
        yield f'<polyline points="{path}" fill="none" stroke="{COLOURS[name]}" stroke-width="2"/>'
        yield from (f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" fill="{COLOURS[name]}"/>' for px, py in places)
        if len(lines) > 1:
            yield f'<text x="{x + 12 + 48 * n}" y="44" fill="{COLOURS[name]}">{name}</text>'
