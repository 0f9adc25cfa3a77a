"""Golden tokens: the reference's output for a synthetic window, stored in the artifact to check its sessions with.

Every step is compared on its own: the session is fed the reference's tokens, so one near tie does not change the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Protocol, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from neuron_whisper.artifact.loader import Artifact, check_artifact
from neuron_whisper.artifact.store import ArtifactStore
from neuron_whisper.audio.clip import SAMPLE_RATE
from neuron_whisper.audio.mel import pad_or_trim, window_mel
from neuron_whisper.errors import ArtifactCorrupt, GoldenTokenMismatch
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
TOLERANCES = {"float32": 1e-3, "float16": 0.05, "bfloat16": 0.4, "int8": 0.4}


class GoldenTokens(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """After `prompt`, greedily: `tokens`, their `logprobs`, and `margins`, by how much each led the next best.

    `tolerance` is for log-probabilities, and by its double two tokens may change places.
    """

    format: Literal[1] = 1
    prompt: Annotated[tuple[int, ...], msgspec.Meta(min_length=1)]
    tokens: Annotated[tuple[int, ...], msgspec.Meta(min_length=1)]
    logprobs: tuple[float, ...]
    margins: tuple[float, ...]
    tolerance: Annotated[float, msgspec.Meta(gt=0)]


class _StreamingTarget(Protocol):
    """The reference target, as far as it is used here."""

    def open_streamed(self, spec: ProgramSpec, checkpoint: Checkpoint) -> Session: ...


def make_golden(checkpoint: Checkpoint, spec: ProgramSpec, profile: CompileProfile) -> GoldenTokens:
    """Run the reference in float32, reading the checkpoint layer by layer. Raises TargetUnavailable without torch."""
    alone = replace(spec, slots=1, beams=1, encode_batch=1, choices=2)
    session = cast("_StreamingTarget", load_target("reference")).open_streamed(alone, checkpoint)
    try:
        prompt = _make_prompt(spec)
        tokens: list[int] = []
        logprobs, margins = [], []
        for best, likely in _iter_step_outputs(session, prompt, [0], tokens):
            tokens.append(int(best[0, 0]))
            logprobs.append(float(likely[0, 0]))
            margins.append(float(likely[0, 0] - likely[0, 1]))
            if len(tokens) == min(GOLDEN_STEPS, spec.text_context - len(prompt)):
                break
    finally:
        session.close()
    return GoldenTokens(
        prompt=tuple(prompt),
        tokens=tuple(tokens),
        logprobs=tuple(logprobs),
        margins=tuple(margins),
        tolerance=_choose_tolerance(profile),
    )


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


def check_golden_tokens(session: Session, golden: GoldenTokens, *, slots: tuple[int, ...] = (0,)) -> None:
    """Check that the session outputs the golden tokens in each of `slots` at the same time.

    Raises GoldenTokenMismatch with every step that differs: another token than one the reference was sure of, or a
    log-probability beyond the tolerance. DeviceError when the session fails.
    """
    mismatches = []
    answers = _iter_step_outputs(session, list(golden.prompt), list(slots), list(golden.tokens))
    for step, (best, likely) in zip(range(len(golden.tokens)), answers, strict=False):
        golden_token, logprob = golden.tokens[step], golden.logprobs[step]
        for slot, token, found in zip(slots, best[:, 0], likely[:, 0], strict=True):
            is_other = token != golden_token and golden.margins[step] > 2 * golden.tolerance
            # not `>`: a NaN is no agreement
            if is_other or not abs(found - logprob) <= golden.tolerance:
                expected = f"{golden_token} ({logprob:.3f} +- {golden.tolerance:g})"
                mismatches.append(f"slot {slot}, step {step}: token {token} ({found:.3f}), expected {expected}")
    if mismatches:
        raise GoldenTokenMismatch(mismatches)


def verify_session(session: Session, artifact: Artifact) -> None:
    """Hold a session that was just opened against its artifact's golden tokens, where it carries any.

    Raises GoldenTokenMismatch, ArtifactCorrupt, DeviceError; the session is closed then.
    """
    try:
        if (golden := read_golden(artifact)) is not None:
            check_golden_tokens(session, golden)
    except BaseException:
        session.close()
        raise


def verify_on_device(store: ArtifactStore, artifact: Artifact) -> bool:
    """Open the artifact and check its golden tokens in its first and last slot; False when it carries none.

    Raises ArtifactError, TargetUnavailable, DeviceError.
    """
    golden = read_golden(artifact)
    if golden is None:
        return False
    with store.lock_shared(artifact):
        target = load_target(artifact.manifest.target)
        check_artifact(artifact, target.toolchain())
        spec = artifact.spec
        session = target.open(artifact.path, spec, artifact.profile)
        try:
            check_golden_tokens(session, golden, slots=tuple(sorted({0, spec.slots - 1})))
        finally:
            session.close()
    return True


def make_golden_window(n_mels: int, frames: int) -> NDArray[np.float32]:
    """(n_mels, frames): six seconds of a voice that sings no words, and silence. The same everywhere, to rounding.

    Harmonics of a gliding pitch under two gliding formants, in syllables: a model trained on voices is exercised
    less by noise.
    """
    t = np.arange(int(SPEECH_S * SAMPLE_RATE)) / SAMPLE_RATE
    pitch = PITCH_HZ * (1 + 0.2 * np.sin(2 * np.pi * 0.4 * t))
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    first, second = 500 + 250 * np.sin(2 * np.pi * 1.1 * t), 1600 + 600 * np.sin(2 * np.pi * 0.7 * t + 1)
    voice = np.zeros_like(t)
    for harmonic in range(1, 26):
        hz = harmonic * pitch
        loudness = np.exp(-(((hz - first) / 150) ** 2)) + np.exp(-(((hz - second) / 250) ** 2))
        voice += loudness * np.sin(harmonic * phase)
    syllables = np.maximum(0, np.sin(2 * np.pi * SYLLABLES_HZ * t)) * (np.sin(2 * np.pi * 0.5 * t) > -0.6)
    return pad_or_trim(window_mel((0.1 * voice * syllables).astype(np.float32), n_mels), frames)


def _iter_step_outputs(
    session: Session, prompt: list[int], slots: list[int], tokens: list[int]
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float32]]]:
    """Best tokens and log-probabilities of each slot's first beam, (len(slots), K), after the prompt and each token.

    `tokens` may grow while this runs.
    """
    spec = session.spec
    dims, rows = spec.dims, spec.rows
    window = make_golden_window(dims.n_mels, dims.n_frames)
    for slot in slots:
        session.encode([slot], window[None])
    rules = np.zeros(N_RULES, np.int32)
    rules[RULE_TEXT], rules[RULE_TIMESTAMP_MIN] = 1, np.iinfo(np.int32).max  # text alone: no end, no timestamps
    inputs = PrefillInputs(
        prompt=np.array(prompt, np.int32),
        sot_index=0,
        rules=rules,
        suppressed=np.arange(dims.n_vocab) % SUPPRESSED_EVERY == 0,
    )
    first = [session.prefill(slot, inputs).top_tokens for slot in slots]
    yield np.concatenate([it.tokens for it in first]), np.concatenate([it.logprobs for it in first])
    active = np.isin(np.arange(spec.slots), slots)
    in_use, first_rows = np.repeat(active, spec.beams), np.array(slots) * spec.beams
    step = 0
    while step < len(tokens):
        top_tokens = session.decode(
            StepInputs(
                tokens=np.where(in_use, tokens[step], 0).astype(np.int32),
                positions=np.where(in_use, len(prompt) + step, 0).astype(np.int32),
                parents=np.tile(np.arange(spec.beams, dtype=np.int32), spec.slots),
                rules=np.tile(rules, (rows, 1)),
                active=active,
            )
        )
        yield top_tokens.tokens[first_rows], top_tokens.logprobs[first_rows]
        step += 1


def _make_prompt(spec: ProgramSpec) -> list[int]:
    """<|startoftranscript|>, a language and the task in a multilingual model, <|notimestamps|>."""
    special = spec.special
    language_and_task = [special.first_language, special.transcribe] if special.is_multilingual else []
    return [special.sot, *language_and_task, special.no_timestamps]


def _choose_tolerance(profile: CompileProfile) -> float:
    types = [profile.target.dtype, profile.weights.dtype]
    graphs = msgspec.structs.astuple(profile.compiler.graphs)
    casts = " ".join(chain(profile.compiler.args, *graphs)).replace("=", " ").split()
    if "--auto-cast" in casts and casts[casts.index("--auto-cast") + 1 :][:1] != ["none"]:
        types.append("bfloat16")  # the compiler's own choice of a type for float32
    return max(TOLERANCES[dtype] for dtype in types)
