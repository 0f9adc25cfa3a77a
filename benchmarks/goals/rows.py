"""The rows of work that are measured, and the goals: the least ratio of a peer's figure to ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from neuron_whisper.errors import InvalidOption

OURS = "neuron-whisper"
BEST_VARIANT = "best"  # the settings of a peer that are fastest on two clips: threads and workers, or its variant
WER_TOLERANCE = 0.002  # equal error rates: ours is at most so much above theirs

Work = Literal["sequential", "concurrent", "cold_start", "clients"]
Metric = Literal["seconds", "p95_s", "first_s", "anonymous_bytes"]
"""Each is better when smaller: of all the work; of a request; from a process's start to its first transcript; the
highest resident memory without pages of mapped files."""

UNITS: dict[str, str] = {
    "seconds": "s",
    "p95_s": "p95 s",
    "first_s": "cold start s",
    "anonymous_bytes": "peak MB without mapped files",
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
            return ("first_s", "anonymous_bytes")
        return ("seconds", "p95_s") if self.work == "clients" else ("seconds",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """The peer's figure must be at least `factor` times that of our `profile`; of several of a peer, its best."""

    profile: str
    row: str
    peer: str
    factor: float
    metric: Metric = "seconds"


INT8, BATCHED = f"faster-whisper:{BEST_VARIANT}", f"faster-whisper-batched:{BEST_VARIANT}"
GENAI, GENAI_INT8, CPP = "openvino-genai", "openvino-genai:int8", f"whisper.cpp:{BEST_VARIANT}"

ROWS = (
    Row(
        name="short",
        title="short clips one after another, greedy",
        work="sequential",
        speech="short",
        plan="sequential",
        peers=(INT8, "faster-whisper:float32", GENAI, GENAI_INT8, CPP),
    ),
    Row(
        name="long-greedy",
        title="a long file, sequential, greedy",
        work="sequential",
        speech="long",
        plan="sequential",
        peers=(INT8, GENAI, GENAI_INT8, CPP),
    ),
    Row(
        name="long-beam",
        title="a long file, sequential, beam 5",
        work="sequential",
        speech="long",
        plan="sequential",
        beam_size=5,
        peers=(INT8, GENAI, GENAI_INT8, CPP),
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
        peers=(INT8, GENAI, GENAI_INT8, CPP),
    ),
    Row(
        name="clients-8",
        title="short clips, 8 clients over HTTP",
        work="clients",
        speech="short",
        at_once=8,
        peers=(INT8,),
    ),
    Row(
        name="clients-32",
        title="short clips, 32 clients over HTTP",
        work="clients",
        speech="short",
        at_once=32,
        peers=(INT8,),
    ),
    Row(
        name="process",
        title="a fresh process: a short clip, then a long file",
        work="cold_start",
        speech="long",
        plan="sequential",
        peers=("faster-whisper:int8", GENAI, GENAI_INT8),
    ),
)

# (row, peer, metric): the factor of `cpu`, of `cpu-fast`; None: no goal
_FACTORS: tuple[tuple[str, str, Metric, float | None, float | None], ...] = (
    ("short", "faster-whisper", "seconds", 2.0, 3.0),
    ("short", "openvino-genai", "seconds", 1.2, 1.8),
    ("long-greedy", "faster-whisper", "seconds", 2.0, 2.5),
    ("long-greedy", "openvino-genai", "seconds", 1.2, 1.5),
    ("long-beam", "faster-whisper", "seconds", 2.0, 2.5),
    ("long-beam", "openvino-genai", "seconds", 1.2, 1.5),
    ("long-batched", "faster-whisper-batched", "seconds", 2.0, 2.5),
    ("hour", "faster-whisper-batched", "seconds", 2.0, None),
    ("streams-8", "faster-whisper", "seconds", 2.0, 3.0),
    ("streams-8", "openvino-genai", "seconds", 1.2, 1.8),
    ("clients-8", "faster-whisper", "seconds", 2.0, 3.0),
    ("clients-8", "faster-whisper", "p95_s", 1.0, 1.0),
    ("clients-32", "faster-whisper", "seconds", 2.0, 3.0),
    ("clients-32", "faster-whisper", "p95_s", 1.0, 1.0),
    ("process", "faster-whisper", "first_s", 1.0, None),
    ("process", "faster-whisper", "anonymous_bytes", 1 / 1.1, None),
)
PROFILES = ("cpu", "cpu-fast")
GOALS = tuple(
    Goal(profile=profile, row=row, peer=peer, factor=factor, metric=metric)
    for at, profile in enumerate(PROFILES)
    for row, peer, metric, *factors in _FACTORS
    if (factor := factors[at]) is not None
)

# peers that the report names with the reason why they are not measured
LEFT_OUT: Mapping[str, str] = MappingProxyType(
    {
        "sherpa-onnx": "its package converts no weights: a script of its repository does, which is in no registry",
        "whisper.cpp with OpenVINO's encoder": "pywhispercpp's wheel is built without it",
    }
)


def select_rows(names: Iterable[str]) -> tuple[Row, ...]:
    """In the table's order; none named: all. Raises InvalidOption."""
    selected = tuple(names)
    known = {row.name for row in ROWS}
    for name in selected:
        if name not in known:
            raise InvalidOption("--rows", name, ", ".join(row.name for row in ROWS))
    return tuple(row for row in ROWS if not selected or row.name in selected)
