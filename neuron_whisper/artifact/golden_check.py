"""Checks the graphs of an opened session, one by one, against an artifact's golden tokens; names the one that differs.

Every step is compared on its own: the session is fed the reference's tokens, so one near tie does not change the rest.
A check needs more graphs than the one it is for: which of them differs follows from all checks together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.artifact.golden import (
    GoldenAlignment,
    GoldenPrefill,
    GoldenTokens,
    find_centres,
    make_golden_rules,
    make_golden_window,
    make_prefill_inputs,
    read_golden,
)
from neuron_whisper.artifact.loader import Artifact, check_artifact
from neuron_whisper.artifact.store import ArtifactStore
from neuron_whisper.errors import DeviceError, GoldenTokenMismatch
from neuron_whisper.target.interfaces import PrefillOutput, Session, StepInputs
from neuron_whisper.target.registry import load_target, toolchain_to_open

LOGITS_STEPS = 4  # each returns the whole vocabulary
# Prompts that no speaker gives are less sure: int8 weights of tiny.en were off by 0.25, of the 0.4 that others may be.
PROMPT_FACTOR = 2
MAX_NO_SPEECH_TOLERANCE = 0.2  # the largest found was 0.043

BestTokens = tuple[NDArray[np.int32], NDArray[np.float32]]
"""The best token of each row of the session and its log-probability, (R,) each."""


@dataclass(frozen=True, slots=True)
class GraphCheck:
    """The graphs that a check ran, by kind and size ("decode 8"), the one that it is for last; and what differed."""

    graphs: tuple[str, ...]
    mismatches: tuple[str, ...]


def check_golden_tokens(session: Session, golden: GoldenTokens, *, slots: tuple[int, ...] = (0,)) -> tuple[str, ...]:
    """Check every graph of the session against the golden tokens, in each of `slots`; returns the graphs' names.

    Raises GoldenTokenMismatch with the graphs that differ and where: another token than one the reference was sure
    of, or a value beyond the tolerance. DeviceError when the session fails, with the graph's name. Whatever slots and
    prompts the session held is lost.
    """
    checks = []
    for graphs, run in _GoldenRun(session, golden, slots).list_checks():
        try:
            checks.append(GraphCheck(graphs, tuple(run())))
        except DeviceError as error:
            raise DeviceError(f"golden tokens, {graphs[-1]}: {error}") from error
    mismatches = [f"{check.graphs[-1]}: {text}" for check in checks for text in check.mismatches]
    if mismatches:
        raise GoldenTokenMismatch(mismatches, graphs=find_differing(checks))
    return tuple(dict.fromkeys(graph for check in checks for graph in check.graphs))


def find_differing(checks: Sequence[GraphCheck]) -> tuple[str, ...]:
    """The graphs that explain which checks failed; empty where none passed, as with other weights.

    One alone, if all failed checks ran it and no other did; otherwise those that no passed check ran.
    """
    failed = [check.graphs for check in checks if check.mismatches]
    passed = {graph for check in checks if not check.mismatches for graph in check.graphs}
    if not passed:
        return ()
    common = set(failed[0]).intersection(*failed) - passed
    suspects = common or {graph for graphs in failed for graph in graphs} - passed
    # none: a graph that passed elsewhere differs in one use of it
    return tuple(dict.fromkeys(it for graphs in failed for it in graphs if it in suspects or not suspects))


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


def verify_on_device(store: ArtifactStore, artifact: Artifact) -> tuple[str, ...]:
    """Open the artifact and check its golden tokens in its first and last slot; the graphs that were checked.

    Empty when it carries no golden tokens. Raises ArtifactError, TargetUnavailable, DeviceError.
    """
    golden = read_golden(artifact)
    if golden is None:
        return ()
    with store.lock_shared(artifact):
        target = load_target(artifact.manifest.target)
        check_artifact(artifact, toolchain_to_open(target, artifact.manifest.toolchain))
        spec = artifact.spec
        session = target.open(artifact.path, spec, artifact.profile)
        try:
            return check_golden_tokens(session, golden, slots=tuple(sorted({0, spec.slots - 1})))
        finally:
            session.close()


@dataclass(slots=True)
class _GoldenRun:
    """The checks of one session. Each runs on the state that those before it left."""

    session: Session
    golden: GoldenTokens
    slots: tuple[int, ...]
    window: NDArray[np.float32] = field(init=False)

    def __post_init__(self) -> None:
        dims = self.session.spec.dims
        self.window = make_golden_window(dims.n_mels, dims.n_frames)

    def list_checks(self) -> Iterator[tuple[tuple[str, ...], Callable[[], Iterator[str]]]]:
        """The graphs that each check runs, and the check, which yields what differs."""
        spec, golden = self.session.spec, self.golden
        encode, prefill = "encode 1", self._name_prefill(golden.prompt)
        if spec.encode_batch > 1:
            yield (f"encode {spec.encode_batch}", prefill), self._check_batch
        yield (encode, prefill), self._check_window
        for width in (1,) if spec.beams == 1 else (1, spec.beams):
            size = f"{spec.slots}" if width == 1 else f"{spec.slots} x {width}"
            yield (encode, prefill, f"decode {size}"), partial(self._check_steps, self._decode, width)
            yield (encode, prefill, f"logits {size}"), partial(self._check_steps, self._logits, width, LOGITS_STEPS)
        for one in golden.prefills:
            yield (encode, self._name_prefill(one.prompt)), partial(self._check_prefill, one)
        for alignment in golden.alignments:
            bucket = next(it for it in spec.align_buckets if len(alignment.tokens) <= it)
            yield (encode, f"align {bucket}"), partial(self._check_alignment, alignment)

    def _name_prefill(self, prompt: Sequence[int]) -> str:
        return f"prefill {self.session.spec.bucket_for(len(prompt))}"

    def _check_batch(self) -> Iterator[str]:
        """Every second window of a batch is the golden one, the others are silence."""
        size = self.session.spec.encode_batch
        silence = np.full_like(self.window, self.window.min())
        self.session.encode(range(size), np.stack([silence if slot % 2 else self.window for slot in range(size)]))
        for slot in range(0, size, 2):
            yield from self._prefill(slot)

    def _check_window(self) -> Iterator[str]:
        for slot in self.slots:
            self.session.encode([slot], self.window[None])
        for slot in self.slots:
            yield from self._prefill(slot)

    def _prefill(self, slot: int, width: int = 1) -> Iterator[str]:
        inputs = make_prefill_inputs(self.session.spec, self.golden.prompt, beams=width)
        found = self.session.prefill(slot, inputs).top_tokens
        yield from self._compare(0, slot, found.tokens[0, 0], found.logprobs[0, 0])

    def _decode(self, inputs: StepInputs) -> BestTokens:
        found = self.session.decode(inputs)
        return found.tokens[:, 0], found.logprobs[:, 0]

    def _logits(self, inputs: StepInputs) -> BestTokens:
        logprobs = self.session.logits(inputs)
        return logprobs.argmax(-1).astype(np.int32), logprobs.max(-1)

    def _check_steps(
        self, run: Callable[[StepInputs], BestTokens], width: int, steps: int | None = None
    ) -> Iterator[str]:
        """Feed the golden tokens to one beam after the other, and other tokens to the rest.

        All beams continue the one that was fed the golden token, so a wrong past shows.
        """
        spec, golden = self.session.spec, self.golden
        for slot in self.slots:
            for _ in self._prefill(slot, width):  # what it returns was compared before
                pass
        active = np.isin(np.arange(spec.slots), self.slots)
        in_use = np.repeat(active, spec.beams) & (np.tile(np.arange(spec.beams), spec.slots) < width)
        first_rows = np.array(self.slots) * spec.beams
        for step, token in enumerate(golden.tokens[:-1][:steps]):
            beam = step % width
            tokens = np.where(in_use, (token + 1) % spec.special.eot, 0).astype(np.int32)
            tokens[first_rows + beam] = token
            parent = max(0, step - 1) % width
            own = np.tile(np.arange(spec.beams, dtype=np.int32), spec.slots)
            best, logprobs = run(
                StepInputs(
                    tokens=tokens,
                    positions=np.where(in_use, len(golden.prompt) + step, 0).astype(np.int32),
                    parents=np.where(in_use, np.int32(parent), own),
                    rules=np.tile(make_golden_rules(), (spec.rows, 1)),
                    active=active,
                )
            )
            for slot, row in zip(self.slots, first_rows + beam, strict=True):
                yield from self._compare(step + 1, slot, best[row], logprobs[row])

    def _compare(self, step: int, slot: int, token: int, logprob: float) -> Iterator[str]:
        golden, wanted = self.golden, self.golden.tokens[step]
        is_other = token != wanted and golden.margins[step] > 2 * golden.tolerance
        if is_other or not _is_near(logprob, golden.logprobs[step], golden.tolerance):
            expected = f"{wanted} ({golden.logprobs[step]:.3f} +- {golden.tolerance:g})"
            yield f"slot {slot}, step {step}: token {token} ({logprob:.3f}), expected {expected}"

    def _check_prefill(self, wanted: GoldenPrefill) -> Iterator[str]:
        slot, tolerance = self.slots[0], PROMPT_FACTOR * self.golden.tolerance
        inputs = make_prefill_inputs(self.session.spec, wanted.prompt, sot_index=wanted.sot_index)
        found = self.session.prefill(slot, inputs)
        token, logprob = found.top_tokens.tokens[0, 0], found.top_tokens.logprobs[0, 0]
        is_other = token != wanted.token and wanted.margin > 2 * tolerance
        if is_other or not _is_near(logprob, wanted.logprob, tolerance):
            expected = f"{wanted.token} ({wanted.logprob:.3f} +- {tolerance:g})"
            yield f"slot {slot}: token {token} ({logprob:.3f}), expected {expected}"
        yield from _compare_start(found, wanted, tolerance)

    def _check_alignment(self, wanted: GoldenAlignment) -> Iterator[str]:
        weights = self.session.align(self.slots[0], np.array(wanted.tokens, np.int32))
        centres, expected = find_centres(weights), np.array(wanted.centres)
        if centres.shape != expected.shape:
            yield f"attention of {centres.shape[0]} heads at {centres.shape[1]} tokens, expected {expected.shape}"
            return
        off = np.abs(centres - expected)
        if not (off <= self.golden.centre_tolerance).all():
            head, token = np.unravel_index(np.nan_to_num(off, nan=np.inf).argmax(), off.shape)
            found, right = centres[head, token], expected[head, token]
            yield (
                f"alignment head {head}, token {token}: attention about {found:.3f} of the window, "
                f"expected {right:.3f} +- {self.golden.centre_tolerance:g}"
            )


def _compare_start(found: PrefillOutput, wanted: GoldenPrefill, tolerance: float) -> Iterator[str]:
    """Compare what a prompt returns of its start-of-transcript position."""
    if not _is_near(found.no_speech_prob, wanted.no_speech_prob, limit := min(tolerance, MAX_NO_SPEECH_TOLERANCE)):
        expected = f"{wanted.no_speech_prob:.3f} +- {limit:g}"
        yield f"probability of no speech {found.no_speech_prob:.3f}, expected {expected}"
    if wanted.language is not None:
        logprob = found.language_logprobs[wanted.language]
        if not _is_near(logprob, wanted.language_logprob, tolerance):
            expected = f"{wanted.language_logprob:.3f} +- {tolerance:g}"
            yield f"language {wanted.language}: log-probability {logprob:.3f}, expected {expected}"


def _is_near(found: float, wanted: float, tolerance: float) -> bool:
    return bool(abs(found - wanted) <= tolerance)  # not `>` in its place: a NaN is no agreement
