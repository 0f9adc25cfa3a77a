"""`python -m benchmarks.goals.parity`: judges how far texts are openai-whisper's; `make parity` calls it.

Exit code 0: every goal for whose languages there are clips is met. 1: one is missed. 2: the report cannot be judged.
3: no clip has a language that has goals, so that nothing was judged.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.goals.report import MISSED, NOT_JUDGED, read_report
from neuron_whisper.bench.accuracy.report import NEURON_WHISPER, OPENAI_WHISPER, count_errors
from neuron_whisper.bench.reporting.markdown import DASH, format_table
from neuron_whisper.errors import InvalidOption, NeuronWhisperError

DEFAULT_PROFILE = "cpu"
Document = Mapping[str, Any]
Figure = Literal["same_text", "wrong_words", "wer"]
"""Share of clips with openai-whisper's text, normalised; number of wrong words; wrong words by words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextGoal:
    """Over all clips in `languages`. `limit` of same_text is the least share, of the others the most above theirs."""

    title: str
    figure: Figure
    languages: tuple[str, ...]
    limit: float


TEXT_GOALS = (
    TextGoal(title="same normalised text, en", figure="same_text", languages=("en",), limit=0.95),
    TextGoal(title="wrong words, de es fr pt", figure="wrong_words", languages=("de", "es", "fr", "pt"), limit=2),
    TextGoal(title="WER, en", figure="wer", languages=("en",), limit=0.002),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextVerdict:
    """`theirs` is openai-whisper's own figure, of same_text 1; `ours` None: no clip has such a language."""

    goal: TextGoal
    system: str
    ours: float | None = None
    theirs: float | None = None

    @property
    def bound(self) -> float | None:
        """The worst figure of ours that reaches the goal."""
        if self.goal.figure == "same_text":
            return self.goal.limit
        return None if self.theirs is None else self.theirs + self.goal.limit

    @property
    def is_met(self) -> bool | None:
        """None where nothing was measured."""
        if self.ours is None or self.bound is None:
            return None
        if self.goal.figure == "same_text":
            return self.ours >= self.bound
        return self.ours <= self.bound + 1e-9  # sums of fractions


def judge_texts(document: Document, profile: str = DEFAULT_PROFILE) -> list[TextVerdict]:
    """Of a `bench` report: every goal for every system of ours that has the profile in its name.

    Raises InvalidOption where there is none, or no openai-whisper on its model.
    """
    ours = [it for it in document["systems"] if it["engine"] == NEURON_WHISPER]
    judged = [it for it in ours if profile in it["name"].split()]
    if not judged:
        raise InvalidOption("--profile", profile, f"a word of a measured system: {_join_names(ours)}")
    theirs = {it["model"]: it for it in document["systems"] if it["engine"] == OPENAI_WHISPER}
    if without := [it for it in judged if it["model"] not in theirs]:
        raise InvalidOption("REPORT", _join_names(without), f"measured beside {OPENAI_WHISPER} on its model")
    return [_judge(goal, system, theirs[system["model"]]) for system in judged for goal in TEXT_GOALS]


def _judge(goal: TextGoal, system: Mapping[str, Any], theirs: Mapping[str, Any]) -> TextVerdict:
    languages = [it for it in goal.languages if it in system["languages"]]
    ours_found, theirs_found = ([it["languages"][language] for language in languages] for it in (system, theirs))
    match goal.figure:
        case "same_text":
            clips = sum(it["clips"] for it in ours_found)
            same = sum(it["as_openai_whisper"]["same_normalised_text"] for it in ours_found)
            figures = (same / clips, 1.0) if clips else None
        case "wrong_words":
            figures = (_sum_errors(ours_found), _sum_errors(theirs_found)) if languages else None
        case "wer":
            words = sum(it["wer"]["reference"] for it in ours_found)
            figures = (_sum_errors(ours_found) / words, _sum_errors(theirs_found) / words) if words else None
    own, their = figures or (None, None)
    return TextVerdict(goal=goal, system=system["name"], ours=own, theirs=their)


def format_verdicts(verdicts: Sequence[TextVerdict]) -> str:
    """A table of all, and a line for each goal that is missed."""
    rows = [
        [
            it.system,
            it.goal.title,
            *(_format_figure(value, it.goal.figure) for value in (it.ours, it.theirs)),
            f"{'at least' if it.goal.figure == 'same_text' else 'at most'} {_format_figure(it.bound, it.goal.figure)}",
            {True: "yes", False: "**no**", None: "not judged: no such clip"}[it.is_met],
        ]
        for it in verdicts
    ]
    table = format_table(["system", "figure", "ours", "openai-whisper's", "goal", "met"], rows, left=2)
    missed = [f"- missed: {describe_miss(it)}" for it in verdicts if it.is_met is False]
    return "\n\n".join(["## Goals beside openai-whisper", table, *(["\n".join(missed)] if missed else [])]) + "\n"


def describe_miss(verdict: TextVerdict) -> str:
    """ "neuron-whisper base cpu: WER, en: 10.20 %; goal: at most 9.00 %"."""
    figure = verdict.goal.figure
    side = "at least" if figure == "same_text" else "at most"
    found, bound = (_format_figure(value, figure) for value in (verdict.ours, verdict.bound))
    return f"{verdict.system}: {verdict.goal.title}: {found}; goal: {side} {bound}"


def _format_figure(value: float | None, figure: Figure) -> str:
    if value is None:
        return DASH
    match figure:
        case "same_text":
            return f"{100 * value:.1f} %"
        case "wer":
            return f"{100 * value:.2f} %"
        case _:
            return f"{value:g}"


def _sum_errors(languages: Sequence[Mapping[str, Any]]) -> int:
    return sum(count_errors(it["wer"]) for it in languages)


def _join_names(systems: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(it["name"] for it in systems) or "none"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.goals.parity", description=__doc__)
    parser.add_argument("report", type=Path, metavar="REPORT", help="JSON of `neuron-whisper bench --json`")
    parser.add_argument("--profile", default=DEFAULT_PROFILE, help=f"the one to judge  [default: {DEFAULT_PROFILE}]")
    parser.add_argument("--json", type=Path, help="write the verdicts here")
    args = parser.parse_args(arguments)
    try:
        verdicts = judge_texts(read_report(args.report), args.profile)
    except NeuronWhisperError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    if args.json is not None:
        found = [{**asdict(it), "bound": it.bound, "is_met": it.is_met} for it in verdicts]
        args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(format_verdicts(verdicts))
    if all(it.is_met is None for it in verdicts):
        sys.stderr.write("error: nothing was judged: no clip has a language that has goals\n")
        return NOT_JUDGED
    return MISSED if any(it.is_met is False for it in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
