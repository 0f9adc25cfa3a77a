"""The interfaces of a target: ProgramSpec, the arrays passed to and from the device, Session, Target.

Axes: S slots, B beams, R = S * B rows (row = slot * B + beam), N windows in a batch, T prompt tokens, V vocabulary,
K the most probable tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.errors import InvalidOption
from neuron_whisper.model.dims import WhisperDims
from neuron_whisper.text.special_tokens import SpecialTokens

if TYPE_CHECKING:
    from neuron_whisper.model.checkpoint import Checkpoint
    from neuron_whisper.profile import CompileProfile

# Columns of a rules row: which tokens Whisper's rules allow next. decode/rules fills them.
RULE_TEXT = 0  # ids below eot
RULE_EOT = 1  # eot itself
RULE_SPECIAL = 2  # ids between eot and the first timestamp
RULE_BLANK = 3  # the token of a single space
RULE_TIMESTAMP_MIN = 4  # first timestamp id allowed ...
RULE_TIMESTAMP_MAX = 5  # ... up to and including this one; below RULE_TIMESTAMP_MIN: none
RULE_TIMESTAMP_PROB = 6  # 1: only timestamps, when their total probability is above that of any other token
N_RULES = 7

# What a graph puts in place of a masked logit. Not -inf: inf - inf is NaN, and 16-bit types must hold it;
# Whisper's logits lie within +-100.
MASKED_LOGIT = -3e4
MASKED_LOGPROB = -1e4  # log-probabilities below this belong to masked tokens

# A shorter window must end in at least 2 s of silence, or the model makes up text at its end.
MIN_TRAILING_SILENCE_FRAMES = 200

# Of a program that skips padding. What audio leaves behind it reaches half a second; windows are of few lengths, the
# shortest 2 s; from SKIP_BELOW of the full window on, a graph of any length is no faster than the full one.
MIN_COMPUTED_PADDING_FRAMES = 50
COMPUTED_FRAMES_MULTIPLE, MIN_COMPUTED_FRAMES = 100, 200
SKIP_BELOW = 0.9

ALIGN_BUCKETS = (64, 256)  # a short result, and the longest: 224 tokens and the start sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramSpec:
    """Every size that a compiled program fixes.

    `prompt_buckets` are ascending lengths a prompt is padded to; `text_context` is the length of a row's
    self-K/V; `choices` (K) is the number of most probable tokens that a step returns per row; `align_buckets` are
    lengths of the align graph (empty: none was built). `audio_contexts` are ascending lengths of shorter windows that
    the encoder takes, in positions (20 ms), each a divisor of the model's n_audio_ctx: attention is over the shorter
    window alone. Caches of full length hold it repeated (equal keys share one's weight). `skip_padding`: of a window
    that ends in padding the encoder computes the positions of audio alone; those of padding are the program's own.
    """

    dims: WhisperDims
    special: SpecialTokens
    slots: int
    beams: int
    encode_batch: int
    prompt_buckets: tuple[int, ...]
    text_context: int
    choices: int
    align_buckets: tuple[int, ...] = ()
    alignment_heads: tuple[tuple[int, int], ...] = ()
    audio_contexts: tuple[int, ...] = ()
    skip_padding: bool = False

    def __post_init__(self) -> None:
        for field, value, low, high in (
            ("slots", self.slots, 1, 1024),
            ("beams", self.beams, 1, 16),
            ("encode_batch", self.encode_batch, 1, 64),
            ("text_context", self.text_context, 8, self.dims.n_text_ctx),
        ):
            if not low <= value <= high:
                raise InvalidOption(field, value, f"a whole number from {low} to {high}")
        buckets = self.prompt_buckets
        if not buckets or list(buckets) != sorted(set(buckets)) or buckets[0] < 4 or buckets[-1] > self.text_context:
            raise InvalidOption(
                "prompt_buckets", list(buckets), f"ascending lengths from 4 to text_context ({self.text_context})"
            )
        contexts, full = self.audio_contexts, self.dims.n_audio_ctx
        if list(contexts) != sorted(set(contexts)) or any(not 0 < it < full or full % it for it in contexts):
            raise InvalidOption("audio_contexts", list(contexts), f"ascending divisors of {full}, less than it")
        if contexts and self.skip_padding:
            raise InvalidOption("audio_contexts", list(contexts), "none where padding is skipped")

    @property
    def rows(self) -> int:
        return self.slots * self.beams

    @property
    def encode_batches(self) -> tuple[int, ...]:
        """Batch sizes that have an encode graph."""
        return (1,) if self.encode_batch == 1 else (1, self.encode_batch)

    def frames_to_encode(self, frames: int) -> int:
        """Mel frames to give to encode for a window whose first `frames` are audio.

        Those of the shortest window that holds them and MIN_TRAILING_SILENCE_FRAMES; where padding is skipped, a few
        more than `frames`. The full window's when no shorter one does.
        """
        if self.skip_padding:
            needed = max(frames + MIN_COMPUTED_PADDING_FRAMES, MIN_COMPUTED_FRAMES)
            computed = -(-needed // COMPUTED_FRAMES_MULTIPLE) * COMPUTED_FRAMES_MULTIPLE
            return computed if computed < SKIP_BELOW * self.dims.n_frames else self.dims.n_frames
        return next(
            (2 * context for context in self.audio_contexts if frames + MIN_TRAILING_SILENCE_FRAMES <= 2 * context),
            self.dims.n_frames,
        )

    def check_frames(self, frames: int) -> None:
        """Raises InvalidOption when no encode graph takes so many mel frames."""
        lengths = [*(2 * context for context in self.audio_contexts), self.dims.n_frames]
        if self.skip_padding:
            is_known, allowed = frames % 2 == 0 and 2 <= frames <= lengths[-1], f"even, up to {lengths[-1]}"
        else:
            is_known, allowed = frames in lengths, " or ".join(map(str, lengths))
        if not is_known:
            raise InvalidOption("mel", f"{frames} frames", f"{allowed} with this artifact")

    @property
    def cross_bytes_per_slot(self) -> int:
        """Cross-K/V of one slot, in 16 bit."""
        d = self.dims
        return 2 * d.n_text_layer * d.n_audio_ctx * d.n_text_state * 2

    @property
    def self_bytes_per_slot(self) -> int:
        """Self-K/V of one slot with all its beams, in 16 bit."""
        d = self.dims
        return 2 * d.n_text_layer * self.text_context * d.n_text_state * 2 * self.beams

    def check_beams(self, beams: int) -> None:
        """Raises InvalidOption when a slot does not have `beams` rows."""
        if not 1 <= beams <= self.beams:
            allowed = f"a whole number from 1 to {self.beams}" if self.beams > 1 else "1"
            raise InvalidOption("beams", beams, f"{allowed} with this artifact")

    def bucket_for(self, length: int) -> int:
        """The smallest prompt bucket that holds `length` tokens. Raises InvalidOption when none does."""
        for bucket in self.prompt_buckets:
            if length <= bucket:
                return bucket
        raise InvalidOption("prompt", length, f"at most {self.prompt_buckets[-1]} tokens with this artifact")


def spec_from_profile(dims: WhisperDims, profile: CompileProfile) -> ProgramSpec:
    """The program that `profile` describes for a model of these dimensions. Raises InvalidOption."""
    shapes = profile.shapes
    if profile.target.name == "neuron":
        if shapes.audio_contexts:
            raise InvalidOption("audio_contexts", list(shapes.audio_contexts), "none with the Neuron target")
        if shapes.skip_padding:
            raise InvalidOption("skip_padding", "true", "false with the Neuron target")
    if profile.weights.encoder and profile.target.name != "cpu":
        raise InvalidOption("weights.encoder", profile.weights.encoder, "left out but with the cpu target")
    context = min(shapes.text_context, dims.n_text_ctx)

    def cut(buckets: Iterable[int]) -> tuple[int, ...]:
        return tuple(sorted({min(bucket, context) for bucket in buckets}))

    return ProgramSpec(
        dims=dims,
        special=SpecialTokens.from_vocab_size(dims.n_vocab),
        slots=shapes.slots,
        beams=shapes.beams,
        encode_batch=min(shapes.encode_batch, shapes.slots),
        prompt_buckets=cut(shapes.prompt_buckets),
        text_context=context,
        choices=1 if shapes.beams == 1 else 2 * shapes.beams + 1,
        align_buckets=cut(ALIGN_BUCKETS) if shapes.align else (),
        audio_contexts=shapes.audio_contexts,
        skip_padding=shapes.skip_padding,
    )


def suppression_bias(suppressed: NDArray[np.bool_]) -> NDArray[np.float32]:
    """What a graph adds to the logits of tokens (V,): MASKED_LOGIT where they are suppressed, else 0."""
    return np.where(suppressed, np.float32(MASKED_LOGIT), np.float32(0))


def mask_logprobs(logprobs: NDArray[np.float32]) -> NDArray[np.float32]:
    """A copy of a graph's output, which its next run may overwrite, with -inf for masked tokens."""
    return np.where(logprobs < MASKED_LOGPROB, np.float32(-np.inf), logprobs)


def rows_in_use(active: NDArray[np.bool_], beam_widths: NDArray[np.int32], beams: int) -> NDArray[np.bool_]:
    """(S, B) rows of a step: of each active slot (S,) the first `beam_widths` (S,), set by its prefill."""
    return active[:, None] & (np.arange(beams) < beam_widths[:, None])


def resolve_beam_parents(parents: NDArray[np.int32], in_use: NDArray[np.bool_]) -> NDArray[np.int32]:
    """parents (R,) -> (S, B), the row itself where it is not in use or is the only one of its slot."""
    own = np.arange(in_use.shape[1], dtype=np.int32)
    moves = in_use & (in_use.sum(1, keepdims=True) > 1)
    return np.where(moves, parents.reshape(in_use.shape), own)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PrefillInputs:
    """A prompt to run from position 0 in the first `beams` rows of a slot.

    prompt (T,), of which `sot_index` is the start-of-transcript token; rules (N_RULES,) constrain the next token.
    suppressed (V,) tokens are not returned for this slot until its next prefill. `beams` holds until then too: with 1
    a session may run a narrower graph.
    """

    prompt: NDArray[np.int32]
    sot_index: int
    rules: NDArray[np.int32]
    suppressed: NDArray[np.bool_]
    beams: int = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepInputs:
    """One token for every row: tokens (R,), positions (R,), parents (R,), rules (R, N_RULES), active (S,).

    tokens[r] is written at positions[r]; parents[r] is the beam (0 .. beams-1, same slot) whose past row r continues;
    with one beam it is not read. Slots that are not active keep their state.
    """

    tokens: NDArray[np.int32]
    positions: NDArray[np.int32]
    parents: NDArray[np.int32]
    rules: NDArray[np.int32]
    active: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TopTokens:
    """The K most probable tokens of each row under its rules, best first.

    tokens (R, K) int32; logprobs (R, K) float32, normalised over the tokens that the rules allow;
    -inf where fewer than K tokens were allowed, and in rows that are not in use.
    """

    tokens: NDArray[np.int32]
    logprobs: NDArray[np.float32]

    @classmethod
    def from_graph_output(cls, tokens: NDArray[np.int32], logprobs: NDArray[np.float32]) -> TopTokens:
        """Copies of a graph's outputs, which its next run may overwrite, with -inf for masked tokens."""
        return cls(tokens=tokens.copy(), logprobs=mask_logprobs(logprobs))

    @classmethod
    def empty(cls, rows: int, top_k: int) -> TopTokens:
        """The output of rows that are not in use."""
        shape = (rows, top_k)
        return cls(tokens=np.zeros(shape, np.int32), logprobs=np.full(shape, -np.inf, np.float32))

    def mask_rows(self, in_use: NDArray[np.bool_]) -> TopTokens:
        """The same in the rows in_use (S, B), empty in the others."""
        rows = in_use.reshape(-1, 1)
        return TopTokens(
            tokens=np.where(rows, self.tokens, np.int32(0)), logprobs=np.where(rows, self.logprobs, np.float32(-np.inf))
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PrefillOutput:
    """The output for a prompt.

    At the start-of-transcript position: language_logprobs (n_languages,) normalised over the languages, and
    no_speech_prob, the probability of <|nospeech|> over the whole vocabulary. After the last: top_tokens, one row.
    """

    language_logprobs: NDArray[np.float32]
    no_speech_prob: float
    top_tokens: TopTokens


class Session(Protocol):
    """A loaded program on its device. One thread owns it. Every method may raise DeviceError.

    A slot holds a window's cross-K/V (after encode) and up to B rows of self-K/V (after prefill). A step's rows are
    in use where their slot is active and they are among the `beams` of its prefill; the others return token 0 and
    log-probability -inf; what they are fed must be valid (0 is), and changes nothing.
    """

    @property
    def spec(self) -> ProgramSpec: ...

    def encode(self, slots: Sequence[int], mel: NDArray[np.float32]) -> None:
        """Fill the slots' cross-K/V from mel (N, n_mels, frames); N = len(slots), at most encode_batch.

        `frames` are 3000, or twice one of the spec's audio_contexts. Where padding is skipped, any even number up to
        3000, all behind which is zeros. Raises InvalidOption for another.
        """

    def prefill(self, slot: int, inputs: PrefillInputs) -> PrefillOutput:
        """Run a prompt in the slot. A retry may prefill again with another width; the cross-K/V stay.

        Raises InvalidOption for a prompt longer than every bucket, and for beams outside 1 .. B.
        """

    def decode(self, inputs: StepInputs) -> TopTokens:
        """Run a step. A slot of one beam may return fewer than K tokens, but the best one.

        The caller may overwrite the inputs' arrays once this has returned.
        """

    def logits(self, inputs: StepInputs) -> NDArray[np.float32]:
        """As decode, but the log-probability of every token, (R, V): what decode/rules.apply_rules leaves.

        For sampling at a temperature. Given the prompt's last token at its own position right after prefill, it
        returns what prefill returned: it writes the same row. The next call may overwrite what this one returned.
        """

    def align(self, slot: int, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
        """Attention of the alignment heads for tokens (T,) from position 0: (heads, T, n_audio_ctx), softmaxed."""

    def close(self) -> None:
        """Free the device. Idempotent."""


Progress = Callable[[str, int, int | None], None]
"""progress(what, done, total): called from the thread that works; total None when it is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileRequest:
    """A program to compile: graphs and weights are written below `directory`, which is empty.

    At most `jobs` graphs are compiled at once; 0: the target decides. `scratch` is an empty directory of the same path
    whenever this artifact is compiled, for what a compiler writes and nobody keeps; None: a temporary one.
    `compile_cache` is the directory for what later compilations can use again; None: the compiler's own place.
    `encoder_scales` is the file of an 8-bit encoder's scales; None: the encoder is not of 8 bit.
    """

    spec: ProgramSpec
    profile: CompileProfile
    checkpoint: Checkpoint
    directory: Path
    progress: Progress
    jobs: int = 0
    scratch: Path | None = None
    compile_cache: Path | None = None
    encoder_scales: Path | None = None


class Target(Protocol):
    """Lowers a program for one kind of device, and opens the result."""

    name: str

    def toolchain(self) -> Mapping[str, str]:
        """Facts that decide whether a stored program can run here: versions and what the compiler found."""

    def decoder_copies(self, spec: ProgramSpec) -> int:
        """Copies of the decoder's weights in a session that was just opened; beams and sampling may add some."""

    def self_kv_rows(self, spec: ProgramSpec) -> int:
        """Rows of self-K/V per slot that take memory in a session that was just opened."""

    def compile(self, request: CompileRequest) -> None:
        """Raises LoweringFailed, CheckpointError."""

    def open(self, directory: Path, spec: ProgramSpec, profile: CompileProfile, *, threads: int = 0) -> Session:
        """A session on what compile wrote. threads 0: all cores."""
