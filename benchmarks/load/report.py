"""Summarizes a load test as JSON, Markdown and an SVG chart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.load.clients import MemoryRecorder, RequestResult
from neuron_whisper.bench.accuracy.metrics import percentile
from neuron_whisper.bench.reporting.markdown import format_table
from neuron_whisper.bench.reporting.svg import FAINT, draw_document, draw_line, draw_text

PERCENTS = (50, 95, 99)
WIDTH, HEIGHT, LEFT, TOP, BOTTOM, GAP = 400, 300, 64, 56, 48, 40  # pixels of a panel and around it
COLOURS = {"p50": "#1b6ac9", "p95": "#d97706", "p99": "#b91c1c", "rate": "#047857"}


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
            "peak": max(seen) >> 20,
            "samples": [(round(at), used >> 20) for at, used in memory.samples],
        }
    return document


def _summarize_latency(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    quantiles = {f"p{percent}": round(percentile(values, percent), 3) for percent in PERCENTS}
    return {**quantiles, "max": round(max(values), 3)}


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
            "{first} to {last}, peak {peak}".format(**level["resident_mb"]) if "resident_mb" in level else "",
        )
        for level in document["levels"]
    ]
    header = (
        f"{document['clips']} clips of {document['shortest_s']:.1f} to {document['longest_s']:.1f} s; "
        f"{document['date']}; `{document['command']}`"
    )
    return f"{header}\n\n{format_table(head, rows, left=0)}\n"


def draw_svg(document: Mapping[str, Any]) -> str:
    """An SVG document: latency, and throughput, against the number of clients."""
    levels = document["levels"]
    clients = [level["clients"] for level in levels]
    latency = {f"p{percent}": [level["latency_s"].get(f"p{percent}") for level in levels] for percent in PERCENTS}
    rate = {"rate": [level["audio_s_per_s"] for level in levels]}
    elements = [
        *_draw_panel(LEFT, "latency, s, against clients", clients, latency),
        *_draw_panel(2 * LEFT + WIDTH, "seconds of audio a second, against clients", clients, rate),
    ]
    return draw_document(2 * (LEFT + WIDTH) + GAP, TOP + HEIGHT + BOTTOM, elements, font_size=12)


def _draw_panel(
    x: int, title: str, clients: Sequence[int], lines: Mapping[str, Sequence[float | None]]
) -> Iterator[str]:
    highest = max((value for values in lines.values() for value in values if value), default=1.0)
    widest = max(clients, default=1)

    def place(n_clients: float, value: float) -> tuple[float, float]:
        return x + WIDTH * n_clients / widest, TOP + HEIGHT * (1 - value / highest)

    yield draw_text(x, 24, title, size=14)
    yield draw_line([(x, TOP), (x, TOP + HEIGHT), (x + WIDTH, TOP + HEIGHT)], stroke=FAINT, width=1)
    for share in (0.0, 0.5, 1.0):
        _, y = place(0, highest * share)
        yield draw_text(x - 6, y + 4, f"{highest * share:.3g}", size=12, anchor="end", fill=FAINT)
    for n_clients in clients:
        yield draw_text(place(n_clients, 0)[0], TOP + HEIGHT + 18, str(n_clients), size=12, anchor="middle", fill=FAINT)
    for n, (name, values) in enumerate(lines.items()):
        points = [place(count, value) for count, value in zip(clients, values, strict=True) if value is not None]
        yield draw_line(points, stroke=COLOURS[name])
        yield from (f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" fill="{COLOURS[name]}"/>' for px, py in points)
        if len(lines) > 1:
            yield draw_text(x + 12 + 48 * n, 44, name, size=12, fill=COLOURS[name])
