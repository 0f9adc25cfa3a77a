"""Builds the report of measured rows, merges reports, and judges the goals."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.goals.measure import RowResult
from benchmarks.goals.rows import GOALS, OURS, ROWS, WER_TOLERANCE, Goal, Metric, Row
from benchmarks.goals.speech import Recording
from neuron_whisper.bench.accuracy.metrics import count_word_errors, sum_counts
from neuron_whisper.errors import InvalidOption

FORMAT = 3
MISSED, NOT_JUDGED = 1, 3  # exit codes; 2 is that of a refused command line
Document = Mapping[str, Any]


def build_row_report(
    row: Row, recordings: Sequence[Recording], results: Iterable[RowResult], run_info: Mapping[str, Any]
) -> dict[str, Any]:
    """A row as plain data; `run_info` has its date and the load before it.

    Raises TargetUnavailable where the normalisers are missing.
    """
    return {
        "name": row.name,
        "title": row.title,
        **run_info,
        "speech": {
            "clips": len(recordings),
            "audio_s": round(sum(it.duration_s for it in recordings), 1),
            "names": [it.name for it in recordings],
        },
        "systems": [_describe_system(result, recordings) for result in results],
    }


def _describe_system(result: RowResult, recordings: Sequence[Recording]) -> dict[str, Any]:
    counts = sum_counts(
        count_word_errors(it.reference, result.texts[it.name], it.language)
        for it in recordings
        if it.name in result.texts
    )
    return {
        "name": result.name,
        "peer": result.peer,
        **result.facts,
        "note": result.note,
        "error": result.error,
        "metrics": {
            metric: {"median": round(median(values), 4), "runs": [round(value, 4) for value in values]}
            for metric, values in result.metrics.items()
        },
        "wer": {"rate": None if counts.rate is None else round(counts.rate, 5), **asdict(counts)},
        "texts": result.texts,
    }


def read_report(path: Path) -> dict[str, Any]:
    """A report as JSON. Raises InvalidOption naming the file where it is none."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidOption("REPORT", str(path), f"a file of JSON, as --json writes it ({error})") from None
    if not isinstance(document, dict):
        raise InvalidOption("REPORT", str(path), "a report, as --json writes it")
    return document


def merge_reports(documents: Sequence[Document]) -> dict[str, Any]:
    """The rows of all, in the table's order; where two have a row, the later's. The load before is the highest of all,
    the rest is the last's.

    Raises InvalidOption for a document of another format.
    """
    rows: dict[str, Any] = {}
    for document in documents:
        if document.get("format") != FORMAT or "rows" not in document:
            raise InvalidOption("--merge", document.get("format"), f"results of this command, format {FORMAT}")
        for row in document["rows"]:
            rows[row["name"]] = {**row, "machine": row.get("machine", document["machine"]["processor"])}
    order = [row.name for row in ROWS]
    return {
        **documents[-1],
        "load_before": max(document["load_before"] for document in documents),
        "rows": sorted(rows.values(), key=lambda row: order.index(row["name"])),
    }


# --- goals ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalVerdict:
    """`ratio` is the peer's figure by ours; None where one of them is missing.

    `wer_difference` is ours less theirs; above WER_TOLERANCE no goal of speed is met.
    """

    goal: Goal
    title: str
    ours: float | None = None
    theirs: float | None = None
    our_name: str = ""
    their_name: str = ""
    our_wer: float | None = None
    their_wer: float | None = None
    our_error: str = ""
    their_error: str = ""

    @property
    def ratio(self) -> float | None:
        return self.theirs / self.ours if self.ours and self.theirs else None

    @property
    def wer_difference(self) -> float | None:
        return None if self.our_wer is None or self.their_wer is None else self.our_wer - self.their_wer

    @property
    def has_equal_errors(self) -> bool:
        return self.goal.metric not in ("seconds", "p95_s") or (self.wer_difference or 0.0) <= WER_TOLERANCE

    @property
    def is_met(self) -> bool | None:
        """None, not judged, where the peer has no figure; a failure of ours is no goal reached."""
        if self.our_error:
            return False
        return None if self.ratio is None else self.ratio >= self.goal.factor and self.has_equal_errors


def judge_goals(document: Document) -> list[GoalVerdict]:
    """Of every goal whose row and profile were measured."""
    rows = {row["name"]: row for row in document["rows"]}
    titles = {row.name: row.title for row in ROWS}
    judged = []
    for goal in GOALS:
        systems = rows[goal.row]["systems"] if goal.row in rows else []
        ours = next((it for it in systems if it["name"] == f"{OURS} {goal.profile}"), None)
        if ours is None:
            continue
        peers = [it for it in systems if it["peer"] == goal.peer]
        theirs = _find_best(peers, goal.metric)
        judged.append(
            GoalVerdict(
                goal=goal,
                title=titles[goal.row],
                ours=_read_figure(ours, goal.metric),
                theirs=_read_figure(theirs, goal.metric),
                our_name=ours["name"],
                their_name=theirs["name"] if theirs else goal.peer,
                our_wer=_read_wer(ours),
                their_wer=_read_wer(theirs),
                our_error=ours["error"],
                their_error="; ".join(dict.fromkeys(it["error"] for it in peers if it["error"])),
            )
        )
    return judged


def choose_exit_code(verdicts: Sequence[GoalVerdict]) -> int:
    """MISSED where a goal is missed; else NOT_JUDGED where one could not be judged, or there was none; else 0."""
    if any(it.is_met is False for it in verdicts):
        return MISSED
    return 0 if verdicts and all(it.is_met for it in verdicts) else NOT_JUDGED


def _find_best(systems: Sequence[Mapping[str, Any]], metric: Metric) -> Mapping[str, Any] | None:
    """The one with the smallest figure; None where none has one."""
    figures = [(figure, n) for n, it in enumerate(systems) if (figure := _read_figure(it, metric)) is not None]
    return systems[min(figures)[1]] if figures else None


def _read_figure(system: Mapping[str, Any] | None, metric: Metric) -> float | None:
    if system is None or system["error"] or metric not in system["metrics"]:
        return None
    return float(system["metrics"][metric]["median"])


def _read_wer(system: Mapping[str, Any] | None) -> float | None:
    return None if system is None or system["error"] else system["wer"]["rate"]
