"""Formats the goals and the figures behind them as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.goals.report import Document, GoalVerdict, judge_goals
from benchmarks.goals.rows import LEFT_OUT, PROFILES, UNITS, WER_TOLERANCE
from benchmarks.process.machine_load import QUIET_LOAD
from benchmarks.process.memory import SAMPLE_INTERVAL_S
from neuron_whisper.bench.reporting.markdown import DASH, format_table


def format_markdown(document: Document) -> str:
    parts = [
        *_format_load(document),
        *_format_goals(judge_goals(document)),
        _format_figures(document["rows"]),
        *_format_notes(document),
    ]
    return "\n\n".join(parts) + "\n"


def _format_load(document: Document) -> Iterator[str]:
    """A warning where other programs ran before the first measurement."""
    if document["load_before"] > QUIET_LOAD:
        yield (
            f"**The load average was {document['load_before']:g} before this run began: other programs ran, and its "
            f"times say little. Above {QUIET_LOAD:g} a run is to be repeated on a quiet machine.**"
        )


def _format_goals(verdicts: Sequence[GoalVerdict]) -> Iterator[str]:
    if not verdicts:
        yield f"**Nothing was judged**: no profile was measured that has goals; {' and '.join(PROFILES)} have."
        return
    head = ["profile", "work", "against", "ours", "theirs", "ratio", "goal", "WER % ours / theirs", "met"]
    rows = [
        [
            it.goal.profile,
            f"{it.title}, {UNITS[it.goal.metric]}",
            it.their_name,
            _format_value(it.ours, it.goal.metric),
            _format_value(it.theirs, it.goal.metric),
            DASH if it.ratio is None else f"{it.ratio:.2f}",
            f"{it.goal.factor:.3g}",
            f"{_format_percent(it.our_wer)} / {_format_percent(it.their_wer)}",
            {True: "yes", False: "**no**", None: DASH}[it.is_met],
        ]
        for it in verdicts
    ]
    yield format_table(head, rows, left=3)
    met, unjudged = sum(it.is_met is True for it in verdicts), [it for it in verdicts if it.is_met is None]
    count = f"{met} of {len(verdicts)} goals are met" + f", **{len(unjudged)} not judged**" * bool(unjudged)
    yield (
        f"{count}. Ratio: the figure of the peer's best system by ours, within one run; a goal of speed is met with a "
        f"WER at most {100 * WER_TOLERANCE:g} points above theirs."
    )
    if missed := [it for it in verdicts if it.is_met is False]:
        yield "\n".join(f"- missed: {describe_miss(it)}" for it in missed)
    if unjudged:
        yield "\n".join(f"- not judged: {line}" for line in dict.fromkeys(map(describe_unjudged, unjudged)))


def describe_miss(verdict: GoalVerdict) -> str:
    """ "cpu, short clips one after another, greedy, s, against faster-whisper int8: 1.50 times; goal: 2"."""
    goal = verdict.goal
    what = f"{goal.profile}, {verdict.title}, {UNITS[goal.metric]}, against {verdict.their_name}"
    if verdict.our_error:
        return f"{what}: {verdict.our_error}; goal: {goal.factor:.3g} times"
    found = f"{what}: {verdict.ratio:.2f} times; goal: {goal.factor:.3g} times"
    if verdict.has_equal_errors:
        return found
    return f"{found}; WER {_format_percent(verdict.our_wer)} % against {_format_percent(verdict.their_wer)} %"


def describe_unjudged(verdict: GoalVerdict) -> str:
    """ "cpu, short clips one after another, greedy, against openvino-genai: not installed"."""
    goal = verdict.goal
    reason = "ours has no figure" if verdict.ours is None else verdict.their_error or "it was not measured"
    return f"{goal.profile}, {verdict.title}, against {goal.peer}: {reason}"


def _format_figures(rows: Sequence[Mapping[str, Any]]) -> str:
    head = [
        "work",
        "system",
        "s",
        "x real time",
        "CPU s",
        "p95 s",
        "first text s",
        "MB",
        "MB mapped too",
        "WER %",
        "runs",
    ]
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
                        for name in ("cpu_s", "p95_s", "first_s", "anonymous_bytes", "peak_bytes")
                    ),
                    _format_percent(system["wer"]["rate"]),
                    _format_spread(metrics),
                ]
            )
    return format_table(head, lines, left=2)


def _format_spread(metrics: Mapping[str, Any]) -> str:
    """Number of runs and their range: "3: 1.50 to 1.70"."""
    runs: Sequence[float] = next((it["runs"] for name, it in metrics.items() if not name.endswith("_bytes")), ())
    return DASH if not runs else f"{len(runs)}: {min(runs):.2f} to {max(runs):.2f}"


def _format_notes(document: Document) -> Iterator[str]:
    machine = document["machine"]
    frequencies = machine.get("frequencies_mhz") or []
    facts = [
        f"{machine['processor']}, {machine['cores']} cores",
        *([" to ".join(f"{it:.0f}" for it in dict.fromkeys(frequencies)) + " MHz"] if frequencies else []),
        " ".join(machine["instruction_sets"]),
        f"load {document['load_before']:g} before it began",
        _format_shares(document),
    ]
    yield (
        f"{document['date'][:10]}; {', '.join(it for it in facts if it)}; `{document['command']}`; "
        + ", ".join(f"{name} {number}" for name, number in document["versions"].items())
        + "."
    )
    yield (
        "MB: of a fresh process, the highest resident memory without pages of mapped files (RssAnon and RssShmem of "
        f"Linux, with its children's, sampled every {1000 * SAMPLE_INTERVAL_S:.0f} ms; sampling would disturb other "
        "rows); MB mapped too: with them (VmHWM). CPU s: of all threads."
    )
    lines = []
    for row in document["rows"]:
        lines.append(
            f"{row['name']}: {row['speech']['clips']} clips, {row['speech']['audio_s']:.0f} s; load before it "
            f"{row['load_before']:.1f}{', ' * bool(_format_shares(row))}{_format_shares(row)}."
        )
        for system in row["systems"]:
            if system["error"]:
                lines.append(f"{row['name']}: {system['name']} was not measured: {system['error']}.")
            elif system["note"]:
                lines.append(f"{row['name']}: {system['name']}: {system['note']}.")
    lines += [f"left out: {name}: {reason}." for name, reason in LEFT_OUT.items()]
    yield "\n".join(f"- {line}" for line in lines)


def _format_shares(facts: Mapping[str, Any]) -> str:
    """ "processors busy 93.1 %, 0.4 % stolen by the host"; empty where that is not known."""
    if "steal_share" not in facts:
        return ""
    return f"processors busy {100 * facts['busy_share']:.1f} %, {100 * facts['steal_share']:.1f} % stolen by the host"


def _format_value(value: float | None, metric: str) -> str:
    if value is None:
        return DASH
    return f"{value / 1e6:.0f}" if metric.endswith("_bytes") else f"{value:.2f}"


def _format_percent(rate: float | None) -> str:
    return DASH if rate is None else f"{100 * rate:.2f}"
