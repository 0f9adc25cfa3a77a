"""The rows of work that are measured, and the goals: the least ratio of a peer's figure to ours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from neuron_whisper.errors import InvalidOption

OURS = "neuron-whisper"
BEST_VARIANT = "best"  # the variant of a peer that is fastest on two clips
WER_TOLERANCE = 0.002  # equal error rates: ours is at most so much above theirs

Work = Literal["sequential", "concurrent", "cold_start", "clients"]
Metric = Literal["seconds", "p95_s", "first_s", "peak_bytes"]
"""Each is better when smaller: of all the work; of a request; from a process's start to its first transcript; of it."""

UNITS: dict[str, str] = {
    "seconds": "s",
    "p95_s": "p95 s",
    "first_s": "cold start s",
    "peak_bytes": "peak MB",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`peers` are as --peer takes them. `plan` is ours for long audio; `at_once` streams or clients."""

    name: str
    title: str
    work: Work
    speech: Literal["short", "long", "hour"]
    peers: tuple[str, ...]
    plan: str = "auto"
    beam_size: int | None = None
    at_once: int = 1

    @property
    def metrics(self) -> tuple[Metric, ...]:
        if self.work == "cold_start":
            return ("first_s", "peak_bytes")
        return ("seconds", "p95_s") if self.work == "clients" else ("seconds",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """The peer's figure must be at least `factor` times ours."""

    row: str
    peer: str
    factor: float
    metric: Metric = "seconds"


INT8, BATCHED = "faster-whisper:int8", "faster-whisper-batched:int8"
GENAI, CPP = "openvino-genai", f"whisper.cpp:{BEST_VARIANT}"

ROWS = (
    Row(
        name="short",
        title="short clips one after another, greedy",
        work="sequential",
        speech="short",
        plan="sequential",
        peers=(INT8, "faster-whisper:float32", GENAI, CPP),
    ),
    Row(
        name="long-greedy",
        title="a long file, sequential, greedy",
        work="sequential",
        speech="long",
        plan="sequential",
        peers=(INT8, GENAI, CPP),
    ),
    Row(
        name="long-beam",
        title="a long file, sequential, beam 5",
        work="sequential",
        speech="long",
        plan="sequential",
        beam_size=5,
        peers=(INT8, GENAI, CPP),
    ),
    Row(
        name="long-batched",
        title="a long file, batched, greedy",
        work="sequential",
        speech="long",
        plan="batched",
        peers=(BATCHED,),
    ),
    Row(
        name="hour",
        title="an hour, batched, greedy",
        work="sequential",
        speech="hour",
        plan="batched",
        peers=(BATCHED,),
    ),
    Row(
        name="streams-8",
        title="short clips, 8 threads in one process",
        work="concurrent",
        speech="short",
        plan="sequential",
        at_once=8,
        peers=(INT8, GENAI, CPP),
    ),
    Row(
        name="clients-8",
        title="short clips, 8 clients over HTTP",
        work="clients",
        speech="short",
        at_once=8,
        peers=(f"faster-whisper:{BEST_VARIANT}",),
    ),
    Row(
        name="clients-32",
        title="short clips, 32 clients over HTTP",
        work="clients",
        speech="short",
        at_once=32,
        peers=(f"faster-whisper:{BEST_VARIANT}",),
    ),
    Row(
        name="process",
        title="a fresh process: a short clip, then a long file",
        work="cold_start",
        speech="long",
        plan="sequential",
        peers=(INT8,),
    ),
)

GOALS = (
    Goal(row="short", peer="faster-whisper", factor=3.0),
    Goal(row="long-greedy", peer="faster-whisper", factor=3.0),
    Goal(row="long-beam", peer="faster-whisper", factor=2.5),
    Goal(row="long-batched", peer="faster-whisper-batched", factor=3.0),
    Goal(row="hour", peer="faster-whisper-batched", factor=3.0),
    Goal(row="clients-8", peer="faster-whisper", factor=4.0),
    Goal(row="clients-8", peer="faster-whisper", factor=1.0, metric="p95_s"),
    Goal(row="clients-32", peer="faster-whisper", factor=4.0),
    Goal(row="clients-32", peer="faster-whisper", factor=1.0, metric="p95_s"),
    Goal(row="short", peer="openvino-genai", factor=1.3),
    Goal(row="long-greedy", peer="openvino-genai", factor=1.3),
    Goal(row="streams-8", peer="openvino-genai", factor=2.5),
    Goal(row="short", peer="whisper.cpp", factor=3.0),
    Goal(row="long-greedy", peer="whisper.cpp", factor=3.0),
    Goal(row="streams-8", peer="whisper.cpp", factor=3.0),
    Goal(row="process", peer="faster-whisper", factor=1.0, metric="peak_bytes"),
    Goal(row="process", peer="faster-whisper", factor=2.0, metric="first_s"),
)


def select_rows(names: Iterable[str]) -> tuple[Row, ...]:
    """In the table's order; none named: all. Raises InvalidOption."""
    selected = tuple(names)
    known = {row.name for row in ROWS}
    for name in selected:
        if name not in known:
            raise InvalidOption("--rows", name, ", ".join(row.name for row in ROWS))
    return tuple(row for row in ROWS if not selected or row.name in selected)
