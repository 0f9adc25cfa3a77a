"""Results of a row, and a report of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.goals.measure import RowResult
from benchmarks.goals.report import FORMAT, build_row_report
from benchmarks.goals.rows import select_rows
from benchmarks.goals.speech import Recording

RECORDINGS = [
    Recording(name=name, language="en", reference="ask not what", samples=Path(name), duration_s=10.0)
    for name in ("a", "b")
]


def row_result(
    name: str,
    seconds: list[float],
    texts: tuple[str, str] = ("ask not what", "ask not what"),
    **metrics: list[float],
) -> RowResult:
    return RowResult(
        name,
        name.split()[0],
        {"versions": {"x": "1"}},
        {"seconds": seconds, **metrics} if seconds else metrics,
        dict(zip("ab", texts, strict=True)),
    )


def merged_report(
    *results: RowResult, row: str = "short", processor: str = "P", load_before: float = 0.1
) -> dict[str, Any]:
    [chosen] = select_rows([row])
    run_info = {"load_before": 0.5, "requests_audio_s": 20.0, "busy_share": 0.931, "steal_share": 0.004}
    return {
        "format": FORMAT,
        "date": "2026-11-25T00:00:00+00:00",
        "command": "make bench-peers",
        "versions": {"x": "1"},
        "machine": {
            "processor": processor,
            "cores": 2,
            "instruction_sets": ["avx2"],
            "frequencies_mhz": [2400.0, 3100.0],
        },
        "load_before": load_before,
        "busy_share": 0.95,
        "steal_share": 0.012,
        "rows": [build_row_report(chosen, RECORDINGS, results, run_info)],
    }
