"""Published runs of Whisper on NeuronCores, and the least time that this program would take for the same.

None is a run of this program: they show how far from the bounds others are, and where the time does not go.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from neuron_whisper.audio.clip import WINDOW_S
from neuron_whisper.model.published_dims import PUBLISHED_DIMS
from neuron_whisper.planning.graph_time import Part, sum_parts
from neuron_whisper.planning.instances import INSTANCE_TYPES
from neuron_whisper.planning.placement import Assumptions, place
from neuron_whisper.profile import parse_profile
from neuron_whisper.target.interfaces import spec_from_profile

# Of the one clip whose tokens are known: 30 in 9.9 s of English.
TOKENS_PER_S = 3

CONTRIB = "aws-neuron/neuronx-distributed-inference#105, contrib/models/whisper-large-v3-turbo/README.md@c6d7958"
LABORATORY = "samir-souza/laboratory:05_Inferentia/24_WhisperV3/Whisper.ipynb"
CONTRIB_NOTE = "NxDI's Whisper with cross-K/V kept and attention by an NKI kernel"
LABORATORY_NOTE = "no K/V cache: every step runs 64 positions again"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRun:
    """`took_s` from the call to the text of `clips` clips of `audio_s` each, decoded at once by each of `replicas`.

    `tokens` of a clip are None where they were not published. `date` is of the publication, as far as it is known.
    """

    model: str
    instance: str
    tp: int = 1
    replicas: int = 1
    clips: int = 1
    dtype: str = "bfloat16"
    audio_s: float
    took_s: float
    tokens: int | None = None
    note: str
    source: str
    date: str

    @property
    def citation(self) -> str:
        """What ran, where it was published, and when."""
        return "; ".join(part for part in (self.note, self.source, self.date) if part)

    @property
    def tokens_per_clip(self) -> int:
        """Published, or assumed from the length."""
        return self.tokens or max(1, math.ceil(TOKENS_PER_S * self.audio_s))


PUBLISHED_RUNS = (
    *(
        PublishedRun(
            model="large-v3-turbo",
            instance="trn2.3xlarge",
            audio_s=audio_s,
            took_s=took_s,
            note=CONTRIB_NOTE,
            source=CONTRIB,
            date="2026-03-27",
        )
        for audio_s, took_s in ((5.0, 0.1802), (15.0, 0.2291), (30.0, 0.4629), (90.0, 1.1022))
    ),
    *(
        PublishedRun(
            model="large-v3-turbo",
            instance="trn2.3xlarge",
            replicas=replicas,
            clips=4,
            dtype="float16",
            audio_s=7.3,
            took_s=took_s,
            note=CONTRIB_NOTE,
            source=CONTRIB,
            date="2026-03-27",
        )
        for replicas, took_s in ((1, 0.487), (4, 0.512))
    ),
    PublishedRun(
        model="kotoba-v2.2",
        instance="inf2.xlarge",
        tp=2,
        audio_s=6.62,
        took_s=0.669,
        note="NxDI's Whisper",
        source="a figure given to this project; no page of it was found",
        date="",
    ),
    PublishedRun(
        model="large-v3",
        instance="inf2.xlarge",
        audio_s=9.9,
        took_s=1.273,
        tokens=30,
        note=LABORATORY_NOTE,
        source=f"{LABORATORY}, a version with large-v3",
        date="",
    ),
    PublishedRun(
        model="tiny",
        instance="inf2.xlarge",
        audio_s=9.9,
        took_s=0.0794,
        tokens=30,
        note=LABORATORY_NOTE,
        source=f"{LABORATORY}@1fdf1c2",
        date="",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunBound:
    """The least time of this program for what a published run did, and what it consists of."""

    run: PublishedRun
    bound_s: float
    encode_s: float
    prefill_s: float
    steps_s: float
    steps: int
    parts: Mapping[Part, float]

    @property
    def unexplained_s(self) -> float:
        """Of the published time: the host, and what the device did slower than it could."""
        return self.run.took_s - self.bound_s

    @property
    def bound_share(self) -> float:
        """Of the published time."""
        return self.bound_s / self.run.took_s


def bound_run(run: PublishedRun) -> RunBound:
    """Clips of more than a window are as many windows as they must be, one after another, each a prompt of its own.

    The encodes and prompts of clips that are decoded at once run one after another, as here.
    """
    profile = parse_profile(f'format = 1\n[target]\nname = "neuron"\n[shapes]\nslots = {run.clips}\n')
    spec = spec_from_profile(PUBLISHED_DIMS[run.model], profile)
    placement = place(
        spec,
        INSTANCE_TYPES[run.instance],
        tp=run.tp,
        replicas=run.replicas,
        dtypes=(run.dtype, run.dtype),
        assumptions=Assumptions(tokens=run.tokens_per_clip),
    )
    windows = math.ceil(run.audio_s / WINDOW_S)
    steps = max(0, run.tokens_per_clip - windows)  # a prompt answers the first token of each window
    prompts = windows * run.clips
    encode_s, prefill_s = prompts * placement.encode.total_s, prompts * placement.prefill.total_s
    steps_s = steps * placement.step.total_s
    return RunBound(
        run=run,
        bound_s=encode_s + prefill_s + steps_s,
        encode_s=encode_s,
        prefill_s=prefill_s,
        steps_s=steps_s,
        steps=steps,
        parts=sum_parts(((prompts, placement.encode), (prompts, placement.prefill), (steps, placement.step))),
    )


def bound_published_runs() -> tuple[RunBound, ...]:
    return tuple(bound_run(run) for run in PUBLISHED_RUNS)
