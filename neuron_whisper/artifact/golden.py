"""Golden tokens: the reference's output for a synthetic window, stored in the artifact to check its graphs with.

Format 1, of 0.2.0 and earlier versions, has no `prefills` and no `alignments`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, count, cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Protocol, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from neuron_whisper.artifact.loader import Artifact
from neuron_whisper.audio.mel import pad_or_trim, window_mel
from neuron_whisper.audio.synthetic_voice import sing
from neuron_whisper.errors import ArtifactCorrupt
from neuron_whisper.profile import CompileProfile
from neuron_whisper.target.interfaces import (
    N_RULES,
    RULE_TEXT,
    RULE_TIMESTAMP_MIN,
    PrefillInputs,
    ProgramSpec,
    Session,
    StepInputs,
)
from neuron_whisper.target.registry import load_target

if TYPE_CHECKING:
    from neuron_whisper.model.checkpoint import Checkpoint

GOLDEN_FILE = "golden.json"
GOLDEN_STEPS = 12
SUPPRESSED_EVERY = 3  # every third token: the suppression mask is part of the graphs, and a device can get it wrong
SPEECH_S, PITCH_HZ, SYLLABLES_HZ = 6.0, 120.0, 3.0
# Tolerance of a log-probability from float32's, by the coarser type of activations and weights: about five times the
# largest found on this window, of 48 each with tiny.en and base. OpenVINO: bfloat16 0.072, int8 weights 0.072, float32
# below 5e-5; NxD's graphs on XLA:CPU at tp 2: bfloat16 0.064, float16 0.010, float32 1e-5.
# An 8-bit encoder: 0.41 with base.
ENCODER_INT8 = "encoder int8"
TOLERANCES = {"float32": 1e-3, "float16": 0.05, "bfloat16": 0.4, "int8": 0.4, ENCODER_INT8: 1.5}
# Of where alignment heads attend, in windows; the largest found were 2e-6 in float32, 0.028 in bfloat16 and 0.048 with
# int8 weights (tiny.en and base on OpenVINO).
CENTRE_TOLERANCES = {"float32": 1e-3, "float16": 0.05, "bfloat16": 0.25, "int8": 0.25, ENCODER_INT8: 0.25}
CENTRE_DECIMALS = 6


class GoldenPrefill(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """After `prompt`, whose start of transcript is at `sot_index`: the best `token`, which led by `margin`.

    `language` is the index of the most likely language, None in an English-only model.
    """

    prompt: Annotated[tuple[int, ...], msgspec.Meta(min_length=1)]
    sot_index: int
    token: int
    logprob: float
    margin: float
    language: int | None
    language_logprob: float
    no_speech_prob: float


class GoldenAlignment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where each alignment head attends at each of `tokens`: the mean position in the window, 0 to 1, (heads, T)."""

    tokens: Annotated[tuple[int, ...], msgspec.Meta(min_length=1)]
    centres: tuple[tuple[float, ...], ...]


class GoldenTokens(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """After `prompt`, greedily: `tokens`, their `logprobs`, and `margins`, by how much each led the next best.

    `tolerance` is for log-probabilities, and by its double two tokens may change places; `centre_tolerance` is for
    alignments. `prefills` and `alignments` have one entry for each length of their graphs.
    """

    format: Literal[1, 2] = 2
    prompt: Annotated[tuple[int, ...], msgspec.Meta(min_length=1)]
    tokens: Annotated[tuple[int, ...], msgspec.Meta(min_length=1)]
    logprobs: tuple[float, ...]
    margins: tuple[float, ...]
    tolerance: Annotated[float, msgspec.Meta(gt=0)]
    centre_tolerance: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    prefills: tuple[GoldenPrefill, ...] = ()
    alignments: tuple[GoldenAlignment, ...] = ()


class _StreamingTarget(Protocol):
    """The reference target, as far as it is used here."""

    def open_streamed(self, spec: ProgramSpec, checkpoint: Checkpoint) -> Session: ...


def make_golden(checkpoint: Checkpoint, spec: ProgramSpec, profile: CompileProfile) -> GoldenTokens:
    """Run the reference in float32, reading the checkpoint layer by layer. Raises TargetUnavailable without torch."""
    alone = replace(spec, slots=1, beams=1, encode_batch=1, choices=2, audio_contexts=(), skip_padding=False)
    session = cast("_StreamingTarget", load_target("reference")).open_streamed(alone, checkpoint)
    try:
        session.encode([0], make_golden_window(spec.dims.n_mels, spec.dims.n_frames)[None])
        prompt = _make_prompt(spec)
        tokens: list[int] = []
        logprobs, margins = [], []
        for best, likely in _decode_greedily(session, prompt, tokens):
            tokens.append(int(best[0]))
            logprobs.append(float(likely[0]))
            margins.append(float(likely[0] - likely[1]))
            if len(tokens) == min(GOLDEN_STEPS, spec.text_context - len(prompt)):
                break
        prompts = [_lengthen_prompt(spec, prompt, tokens, length) for length in _lengths(spec.prompt_buckets, 0)]
        aligned = _lengths(spec.align_buckets if spec.alignment_heads else (), len(prompt) + len(tokens))
        return GoldenTokens(
            prompt=tuple(prompt),
            tokens=tuple(tokens),
            logprobs=tuple(logprobs),
            margins=tuple(margins),
            tolerance=_choose_tolerance(profile, TOLERANCES),
            centre_tolerance=_choose_tolerance(profile, CENTRE_TOLERANCES),
            prefills=tuple(_record_prefill(session, longer) for longer in prompts),
            alignments=tuple(
                _record_alignment(session, list(islice(chain(prompt, cycle(tokens)), length))) for length in aligned
            ),
        )
    finally:
        session.close()


def write_golden(golden: GoldenTokens, directory: Path) -> None:
    (directory / GOLDEN_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(golden), indent=2) + b"\n")


def read_golden(artifact: Artifact) -> GoldenTokens | None:
    """None for an artifact that was compiled before there were golden tokens. Raises ArtifactCorrupt."""
    if GOLDEN_FILE not in artifact.manifest.files:
        return None
    file = artifact.path / GOLDEN_FILE
    try:
        golden = msgspec.json.decode(file.read_bytes(), type=GoldenTokens)
    except (OSError, msgspec.MsgspecError) as error:
        raise ArtifactCorrupt(file, expected="golden tokens", found=error) from None
    if not len(golden.tokens) == len(golden.logprobs) == len(golden.margins):
        raise ArtifactCorrupt(file, expected="as many log-probabilities and margins as tokens", found="other counts")
    return golden


def make_golden_window(n_mels: int, frames: int) -> NDArray[np.float32]:
    """(n_mels, frames): six seconds of a voice that sings no words, and silence. The same everywhere, to rounding."""
    return pad_or_trim(window_mel(sing(SPEECH_S, PITCH_HZ, SYLLABLES_HZ), n_mels), frames)


def make_prefill_inputs(
    spec: ProgramSpec, prompt: Sequence[int], *, sot_index: int = 0, beams: int = 1
) -> PrefillInputs:
    """A prompt under the rules of golden tokens: text alone, every third token suppressed."""
    return PrefillInputs(
        prompt=np.array(prompt, np.int32),
        sot_index=sot_index,
        rules=make_golden_rules(),
        suppressed=np.arange(spec.dims.n_vocab) % SUPPRESSED_EVERY == 0,
        beams=beams,
    )


def make_golden_rules() -> NDArray[np.int32]:
    """(N_RULES,): text alone, no end and no timestamps."""
    rules = np.zeros(N_RULES, np.int32)
    rules[RULE_TEXT], rules[RULE_TIMESTAMP_MIN] = 1, np.iinfo(np.int32).max
    return rules


def find_centres(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """(heads, T, n_audio_ctx) attention -> (heads, T): its mean position, 0 to 1; other than a mean where it is off."""
    positions = (np.arange(weights.shape[-1], dtype=np.float32) + 0.5) / weights.shape[-1]
    centres: NDArray[np.float32] = weights.astype(np.float32) @ positions
    return centres


def _decode_greedily(
    session: Session, prompt: list[int], tokens: list[int]
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float32]]]:
    """The best two tokens and their log-probabilities after the prompt and each of `tokens`, which grows meanwhile."""
    first = session.prefill(0, make_prefill_inputs(session.spec, prompt)).top_tokens
    yield first.tokens[0], first.logprobs[0]
    for step in count():
        found = session.decode(
            StepInputs(
                tokens=np.array([tokens[step]], np.int32),
                positions=np.array([len(prompt) + step], np.int32),
                parents=np.zeros(1, np.int32),
                rules=make_golden_rules()[None],
                active=np.ones(1, np.bool_),
            )
        )
        yield found.tokens[0], found.logprobs[0]


def _record_prefill(session: Session, prompt: list[int]) -> GoldenPrefill:
    spec = session.spec
    sot_index = prompt.index(spec.special.sot)
    found = session.prefill(0, make_prefill_inputs(spec, prompt, sot_index=sot_index))
    logprobs = found.top_tokens.logprobs[0]
    language = int(found.language_logprobs.argmax()) if spec.special.is_multilingual else None
    return GoldenPrefill(
        prompt=tuple(prompt),
        sot_index=sot_index,
        token=int(found.top_tokens.tokens[0, 0]),
        logprob=float(logprobs[0]),
        margin=float(logprobs[0] - logprobs[1]),
        language=language,
        language_logprob=0.0 if language is None else float(found.language_logprobs[language]),
        no_speech_prob=found.no_speech_prob,
    )


def _record_alignment(session: Session, tokens: list[int]) -> GoldenAlignment:
    centres = find_centres(session.align(0, np.array(tokens, np.int32))).round(CENTRE_DECIMALS)
    return GoldenAlignment(tokens=tuple(tokens), centres=tuple(tuple(map(float, head)) for head in centres))


def _lengths(buckets: Sequence[int], shortest: int) -> list[int]:
    """The least length that each bucket is for; of the first `shortest`, or its own where that is longer."""
    return [min(shortest or buckets[0], buckets[0]), *(before + 1 for before in buckets[:-1])] if buckets else []


def _lengthen_prompt(spec: ProgramSpec, prompt: list[int], tokens: Sequence[int], length: int) -> list[int]:
    """The prompt behind <|startofprev|> and as much text as `length` leaves for it."""
    if length <= len(prompt):
        return prompt
    return [spec.special.sot_prev, *islice(cycle(tokens), length - len(prompt) - 1), *prompt]


def _make_prompt(spec: ProgramSpec) -> list[int]:
    """<|startoftranscript|>, a language and the task in a multilingual model, <|notimestamps|>."""
    special = spec.special
    language_and_task = [special.first_language, special.transcribe] if special.is_multilingual else []
    return [special.sot, *language_and_task, special.no_timestamps]


def _choose_tolerance(profile: CompileProfile, tolerances: Mapping[str, float]) -> float:
    types = [profile.target.dtype, profile.weights.dtype, *([ENCODER_INT8] if profile.weights.encoder else [])]
    graphs = msgspec.structs.astuple(profile.compiler.graphs)
    casts = " ".join(chain(profile.compiler.args, *graphs)).replace("=", " ").split()
    if "--auto-cast" in casts and casts[casts.index("--auto-cast") + 1 :][:1] != ["none"]:
        types.append("bfloat16")  # the compiler's own choice of a type for float32
    return max(tolerances[dtype] for dtype in types)
