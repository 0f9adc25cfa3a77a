"""Formats the goals and the figures behind them as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.goals.report import Document, GoalVerdict, judge_goals
from benchmarks.goals.rows import UNITS, WER_TOLERANCE
from neuron_whisper.bench.reporting.markdown import DASH, format_table


def format_markdown(document: Document) -> str:
    return (
        "\n\n".join([_format_goals(judge_goals(document)), _format_figures(document["rows"]), *_format_notes(document)])
        + "\n"
    )


def _format_goals(verdicts: Sequence[GoalVerdict]) -> str:
    head = ["work", "against", "ours", "theirs", "ratio", "goal", "WER % ours / theirs", "met"]
    rows = [
        [
            f"{it.title}, {UNITS[it.goal.metric]}",
            it.their_name,
            _format_value(it.ours, it.goal.metric),
            _format_value(it.theirs, it.goal.metric),
            DASH if it.ratio is None else f"{it.ratio:.2f}",
            f"{it.goal.factor:g}",
            f"{_format_percent(it.our_wer)} / {_format_percent(it.their_wer)}",
            {True: "yes", False: "**no**", None: DASH}[it.is_met],
        ]
        for it in verdicts
    ]
    met, judged = sum(it.is_met is True for it in verdicts), sum(it.is_met is not None for it in verdicts)
    ours = next((it.our_name for it in verdicts if it.our_name), "ours")
    return format_table(head, rows, left=2) + (
        f"\n\n{met} of {judged} goals are met by {ours}. Ratio: their figure by ours, within one run; met also wants "
        f"a WER at most {100 * WER_TOLERANCE:g} points above theirs."
    )


def _format_figures(rows: Sequence[Mapping[str, Any]]) -> str:
    head = ["work", "system", "s", "x real time", "CPU s", "p95 s", "first text s", "peak MB", "WER %", "runs"]
    lines = []
    for row in rows:
        for system in row["systems"]:
            if system["error"]:
                continue
            metrics = system["metrics"]
            seconds = metrics.get("seconds", {}).get("median")
            lines.append(
                [
                    row["name"],
                    system["name"],
                    _format_value(seconds, "seconds"),
                    DASH
                    if not seconds or "requests_audio_s" not in row
                    else f"{row['requests_audio_s'] / seconds:.1f}",
                    *(
                        _format_value(metrics.get(name, {}).get("median"), name)
                        for name in ("cpu_s", "p95_s", "first_s", "peak_bytes")
                    ),
                    _format_percent(system["wer"]["rate"]),
                    _format_spread(metrics),
                ]
            )
    return format_table(head, lines, left=2)


def _format_spread(metrics: Mapping[str, Any]) -> str:
    """Number of runs and their range: "3: 1.50 to 1.70"."""
    runs: Sequence[float] = next((it["runs"] for name, it in metrics.items() if name != "peak_bytes"), ())
    return DASH if not runs else f"{len(runs)}: {min(runs):.2f} to {max(runs):.2f}"


def _format_notes(document: Document) -> Iterator[str]:
    machine = document["machine"]
    yield (
        f"{document['date'][:10]}; {machine['processor']}, {machine['cores']} cores, "
        f"{' '.join(machine['instruction_sets'])}; `{document['command']}`; "
        + ", ".join(f"{name} {number}" for name, number in document["versions"].items())
        + "."
    )
    lines = []
    for row in document["rows"]:
        lines.append(
            f"{row['name']}: {row['speech']['clips']} clips, {row['speech']['audio_s']:.0f} s; load before it "
            f"{row['load_before']:.1f}."
        )
        for system in row["systems"]:
            if system["error"]:
                lines.append(f"{row['name']}: {system['name']} was not measured: {system['error']}.")
            elif system["note"]:
                lines.append(f"{row['name']}: {system['name']}: {system['note']}.")
    yield "\n".join(f"- {line}" for line in lines)


def _format_value(value: float | None, metric: str) -> str:
    if value is None:
        return DASH
    return f"{value / 1e6:.0f}" if metric == "peak_bytes" else f"{value:.2f}"


def _format_percent(rate: float | None) -> str:
    return DASH if rate is None else f"{100 * rate:.2f}"
