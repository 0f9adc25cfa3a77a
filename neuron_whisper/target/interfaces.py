"""What a target promises: ProgramSpec, the arrays that cross to the device, Target, Session.

Axes: S slots, B beams, R = S * B rows (row = slot * B + beam), N windows in a batch, V vocabulary, K choices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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

# Columns of a rules row: what Whisper's rules allow the next token to be. decode/rules fills them.
RULE_TEXT = 0  # ids below eot
RULE_EOT = 1  # eot itself
RULE_SPECIAL = 2  # ids between eot and the first timestamp
RULE_BLANK = 3  # the token of a single space
RULE_TIMESTAMP_MIN = 4  # first timestamp id allowed ...
RULE_TIMESTAMP_MAX = 5  # ... up to and with this one; below RULE_TIMESTAMP_MIN: none
RULE_TIMESTAMP_PROB = 6  # 1: only timestamps, when together they are likelier than any other token
N_RULES = 7

# What a graph puts in place of a forbidden logit. Not -inf: inf - inf is NaN, and 16-bit types must hold it;
# Whisper's logits lie within +-100.
MASKED_LOGIT = -3e4
MASKED_LOGPROB = -1e4  # log-probabilities below this are of tokens that the rules forbid

MIN_TRAILING_SILENCE_FRAMES = (
    200  # at least so much silence (2 s) behind the audio in a shorter window, or text is made up at its end
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramSpec:
    """Every size that a compiled program fixes.

    `prompt_buckets` are ascending lengths a prompt is padded to; `text_context` is the length of a row's
    self-K/V; `top_tokens` (K) is how many best tokens a step answers per row; `align_buckets` are lengths of the
    align graph (empty: none was built). `audio_contexts` are ascending lengths of shorter windows that the encoder
    takes, in positions (20 ms), each a divisor of the model's n_audio_ctx: attention is over the shorter window alone.
    Caches of one length hold it repeated (equal keys share one's weight).
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
        contexts, whole = self.audio_contexts, self.dims.n_audio_ctx
        if list(contexts) != sorted(set(contexts)) or any(not 0 < it < whole or whole % it for it in contexts):
            raise InvalidOption("audio_contexts", list(contexts), f"ascending divisors of {whole}, less than it")

    @property
    def rows(self) -> int:
        return self.slots * self.beams

    @property
    def encode_batches(self) -> tuple[int, ...]:
        """Batch sizes that have an encode graph."""
        return (1,) if self.encode_batch == 1 else (1, self.encode_batch)

    def frames_to_encode(self, frames: int) -> int:
        """Mel frames of the shortest window that holds so many of audio and MIN_TRAILING_SILENCE_FRAMES, or of the
        whole one."""
        return next(
            (2 * context for context in self.audio_contexts if frames + MIN_TRAILING_SILENCE_FRAMES <= 2 * context),
            self.dims.n_frames,
        )

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
        """Raises InvalidOption when a window cannot decode in so many rows of a slot."""
        if not 1 <= beams <= self.beams:
            allowed = f"a whole number from 1 to {self.beams}" if self.beams > 1 else "1"
            raise InvalidOption("beams", beams, f"{allowed} with this artifact")

    def bucket_for(self, length: int) -> int:
        """The smallest prompt bucket that holds `length` tokens. Raises InvalidOption when none does."""
        for bucket in self.prompt_buckets:
            if length <= bucket:
                return bucket
        raise InvalidOption("prompt", length, f"at most {self.prompt_buckets[-1]} tokens with this artifact")


def suppression_bias(suppressed: NDArray[np.bool_]) -> NDArray[np.float32]:
    """What a graph adds to the logits of banned (V,) tokens: OFF, and 0 for the others."""
    return np.where(suppressed, np.float32(MASKED_LOGIT), np.float32(0))


def mask_logprobs(logprobs: NDArray[np.float32]) -> NDArray[np.float32]:
    """From a graph's answers, which its next run may overwrite: copied, what is forbidden made -inf."""
    return np.where(logprobs < MASKED_LOGPROB, np.float32(-np.inf), logprobs)


def rows_in_use(active: NDArray[np.bool_], beam_widths: NDArray[np.int32], beams: int) -> NDArray[np.bool_]:
    """(S, B) rows that a step is about: of active slots (S,) the first `beam_widths` (S,), which prefill was told."""
    return active[:, None] & (np.arange(beams) < beam_widths[:, None])


def resolve_beam_parents(parents: NDArray[np.int32], in_use: NDArray[np.bool_]) -> NDArray[np.int32]:
    """parents (R,) -> (S, B): where a row is not in use, or is its slot's only one, it stays what it is."""
    own = np.arange(in_use.shape[1], dtype=np.int32)
    moves = in_use & (in_use.sum(1, keepdims=True) > 1)
    return np.where(moves, parents.reshape(in_use.shape), own)


@dataclass(frozen=True, slots=True, kw_only=True)
class TopTokens:
    """The K best tokens of each row under its rules, best first.

    tokens (R, K) int32; logprobs (R, K) float32, normalised over what the rules left;
    -inf where fewer than K tokens were allowed, and in rows that are not in use.
    """

    tokens: NDArray[np.int32]
    logprobs: NDArray[np.float32]

    @classmethod
    def from_graph_output(cls, tokens: NDArray[np.int32], logprobs: NDArray[np.float32]) -> TopTokens:
        """From a graph's answers, which its next run may overwrite: copied, what is forbidden made -inf."""
        return cls(tokens=tokens.copy(), logprobs=mask_logprobs(logprobs))

    @classmethod
    def empty(cls, rows: int, top_k: int) -> TopTokens:
        """What rows answer that are not in use."""
        shape = (rows, top_k)
        return cls(tokens=np.zeros(shape, np.int32), logprobs=np.full(shape, -np.inf, np.float32))

    def mask_rows(self, in_use: NDArray[np.bool_]) -> TopTokens:
        """These, where in_use (S, B) holds."""
        rows = in_use.reshape(-1, 1)
        return TopTokens(
            tokens=np.where(rows, self.tokens, np.int32(0)), logprobs=np.where(rows, self.logprobs, np.float32(-np.inf))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefillOutput:
    """What a prompt answers.

    At the start-of-transcript position: language_logprobs (n_languages,) normalised over the languages, and
    no_speech_prob, the probability of <|nospeech|> over the whole vocabulary. After the last: choices, one row.
    """

    language_logprobs: NDArray[np.float32]
    no_speech_prob: float
    top_tokens: TopTokens


class Session(Protocol):
    """A loaded program on its device. One thread owns it. Every method may raise DeviceError.

    A slot holds a window's cross-K/V (after encode) and up to B rows of self-K/V (after prefill). A step's rows are
    in use where their slot is active and they are among the rows that its prefill was told; the others answer
    nothing (token 0, log-probability -inf); what they are fed must be valid (0 is), and changes nothing.
    """

    @property
    def spec(self) -> ProgramSpec: ...

    def encode(self, slots: Sequence[int], mel: NDArray[np.float32]) -> None:
        """Fill the slots' cross-K/V from mel (N, n_mels, 3000); N = len(slots), at most encode_batch.

        Or from as many frames as two times one of the spec's audio_contexts.
        """

    def prefill(
        self,
        slot: int,
        prompt: NDArray[np.int32],
        sot_index: int,
        rules: NDArray[np.int32],
        suppressed: NDArray[np.bool_],
        beams: int = 1,
    ) -> PrefillOutput:
        """Run a prompt (T,) from position 0 in the slot's first `beams` rows; rules (N_RULES,) hold for the answer.

        `suppressed` (V,) stays with the slot: those tokens are never chosen until the next prefill. So does `beams`:
        with 1 a session may run a narrower graph. A retry may prefill again with another width; cross-K/V stay.
        Raises InvalidOption for a prompt longer than every bucket, and for beams outside 1 .. B.
        """

    def decode(
        self,
        tokens: NDArray[np.int32],
        positions: NDArray[np.int32],
        parents: NDArray[np.int32],
        rules: NDArray[np.int32],
        active: NDArray[np.bool_],
    ) -> TopTokens:
        """One token for every row: tokens (R,), positions (R,), parents (R,), rules (R, N_RULES), active (S,).

        positions[r] is where tokens[r] goes; parents[r] is the beam (0 .. beams-1, same slot) whose past row r
        continues; with one beam it is not read. Slots that are not active keep their state. A slot of one beam
        may answer fewer than K tokens, but the best. The caller may overwrite the arrays when this has returned.
        """

    def logits(
        self,
        tokens: NDArray[np.int32],
        positions: NDArray[np.int32],
        parents: NDArray[np.int32],
        rules: NDArray[np.int32],
        active: NDArray[np.bool_],
    ) -> NDArray[np.float32]:
        """As decode, but the log-probability of every token, (R, V): what decode/rules.apply_rules leaves.

        For sampling at a temperature. Fed the prompt's last token at its own position right after prefill, it
        answers what prefill answered: it writes the same row.
        """

    def align(self, slot: int, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
        """Attention of the alignment heads for tokens (T,) from position 0: (heads, T, n_audio_ctx), softmaxed."""

    def close(self) -> None:
        """Free the device. Idempotent."""


Progress = Callable[[str, int, int | None], None]
"""progress(what, done, total): called from the thread that works; total None when it is not known."""


class Target(Protocol):
    """Lowers the program for one kind of device, and opens what it lowered."""

    name: str

    def toolchain(self) -> Mapping[str, str]:
        """Facts that decide whether a stored program can run here: versions and what the compiler saw."""

    def decoder_copies(self, spec: ProgramSpec) -> int:
        """How often an open session holds the decoder's weights, before anything rare was asked of it."""

    def self_kv_rows(self, spec: ProgramSpec) -> int:
        """Rows of self-K/V that take memory in a slot, before anything rare was asked of the session."""

    def compile(
        self,
        spec: ProgramSpec,
        profile: CompileProfile,
        checkpoint: Checkpoint,
        directory: Path,
        progress: Progress,
        *,
        jobs: int = 0,
    ) -> None:
        """Write graphs and weights below `directory`, at most `jobs` graphs compiled at once; 0: as many as it likes.

        Raises LoweringFailed, CheckpointError.
        """

    def open(self, directory: Path, spec: ProgramSpec, profile: CompileProfile, *, threads: int = 0) -> Session:
        """A session on what compile wrote. threads 0: all cores."""
