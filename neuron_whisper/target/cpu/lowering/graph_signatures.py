"""Which graphs a CPU artifact holds, and the order of their ports: agreed between lowering and session.

K/V ports come per decoder layer as key, value. Axes as in graph/whisper. T, S, C and, but for encoders, A are free: a
compiled graph holds its own weights, so there is one for prompts of any length, and one for any number of slots, which
reads as much of past and windows as there is. Its B is 1 (narrow: of slots that decode in one row) or the program's
beams (wide). The K/V of a step are past, then cross.

| graph      | inputs                                                     | outputs                                    |
| ---------- | ---------------------------------------------------------- | ------------------------------------------ |
| encode_N   | mel (N, n_mels, 2A)                                        | cross-K/V (N, H, A, D)                     |
| encode_1xA | mel (1, n_mels, 2A), a shorter window                      | the same                                   |
| prefill    | tokens (1, T), sot_and_last (2,), rules, banned, cross-K/V | languages, no_speech, best, logprobs, rows |
| decode_B   | tokens, positions (S, B), rules, banned, windows, K/V      | best, logprobs, rows (S, B, H, D)          |
| logits_B   | as decode_B                                                | logprobs (S*B, n_vocab), rows (S, B, H, D) |
| align      | tokens (1, T), cross-K/V                                   | weights (heads, T, A)                      |
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from neuron_whisper.target.interfaces import ProgramSpec

WEIGHTS_FILE = "weights.bin"
N_PREFILL_INPUTS = 4  # before the K/V ports
N_PREFILL_OUTPUTS = 4
N_STEP_INPUTS = 5  # of decode and logits, before the K/V ports
N_STEP_OUTPUTS = {"decode": 2, "logits": 1}  # outputs before the rows
N_ALIGN_INPUTS = 1
PROMPT_PADDING_MULTIPLE = 32  # tokens


def graph_names(spec: ProgramSpec) -> tuple[str, ...]:
    """Every graph of the program, in the order they are lowered."""
    return (
        *_encoder_names(spec),
        "prefill",
        *(f"decode_{width}" for width in beam_widths(spec)),
        *(f"logits_{width}" for width in beam_widths(spec)),
        *(("align",) if spec.align_buckets else ()),
    )


def graphs_at_open(spec: ProgramSpec) -> tuple[str, ...]:
    """Those that every request needs. The others (beams, sampling, word times) are compiled when they are first
    asked for.
    """
    return (*_encoder_names(spec), "prefill", "decode_1")


def padded_length(buckets: Sequence[int], length: int) -> int:
    """Tokens that a prompt of `length` is padded to: the first bucket, or whole steps up to the last one.

    A length that a graph has not seen costs it some 10 ms, so it does not get to see every one.
    """
    return (
        buckets[0]
        if length <= buckets[0]
        else min(-(-length // PROMPT_PADDING_MULTIPLE) * PROMPT_PADDING_MULTIPLE, buckets[-1])
    )


def _encoder_names(spec: ProgramSpec) -> tuple[str, ...]:
    return *(f"encode_{n}" for n in spec.encode_batches), *(f"encode_1x{context}" for context in spec.audio_contexts)


def beam_widths(spec: ProgramSpec) -> tuple[int, ...]:
    """Rows of a slot in a graph: one, and all. Greedy decoding must not pay for beams that it does not have."""
    return (1,) if spec.beams == 1 else (1, spec.beams)


def top_k_of_width(spec: ProgramSpec, beam_width: int) -> int:
    """Tokens that a row of a decode graph answers: a slot of one row goes on with the best."""
    return 1 if beam_width == 1 else spec.choices


def graph_file(directory: Path, name: str) -> Path:
    return directory / "graphs" / f"{name}.xml"


def weights_file(directory: Path) -> Path:
    """One file for all graphs: equal constants are stored once."""
    return directory / "weights" / WEIGHTS_FILE
