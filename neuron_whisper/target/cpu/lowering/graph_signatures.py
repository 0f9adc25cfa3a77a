"""The graphs of a CPU artifact and the order of their ports, on which lowering and session agree.

K/V ports come per decoder layer as key, value. Axes as in graph/whisper. T, S, C and, but for encoders, A are free: a
compiled graph has its own copy of the weights, so there is one for prompts of any length, and one of a step, which
reads past and windows of any length; a session compiles it for one slot and for any number of them. Its B is 1 (narrow:
for slots that decode in one row) or the program's beams (wide). The K/V of a step are past, then cross; bias is the
suppression bias.

| graph      | inputs                                                     | outputs                                    |
| ---------- | ---------------------------------------------------------- | ------------------------------------------ |
| encode_N   | mel (N, n_mels, 2A)                                        | cross-K/V (N, H, A, D)                     |
| encode_1xA | mel (1, n_mels, 2A), a shorter window                      | the same                                   |
| encode_audio | mel (1, n_mels, 2T), T free, audio before padding        | the same, of all A                         |
| prefill    | tokens (1, T), sot_and_last (2,), rules, bias, cross-K/V   | languages, no_speech, top, logprobs, rows  |
| decode_B   | tokens, positions (S, B), rules, bias, window_lengths, K/V | top, logprobs, rows (S, B, H, D)           |
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
ENCODE_AUDIO = "encode_audio"
PROMPT_PADDING_MULTIPLE = 38  # tokens: 228 is the longest prompt of text before a window, 224, and how it starts


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
    """Those that every request needs. The others (beams, sampling, word timestamps) are compiled on first use."""
    return (*_encoder_names(spec), "prefill", "decode_1")


def padded_length(buckets: Sequence[int], length: int) -> int:
    """Tokens that a prompt of `length` is padded to: the first bucket, else a multiple up to the last one.

    A graph takes some 10 ms longer at a length that is new to it, so it is given few of them.
    """
    if length <= buckets[0]:
        return buckets[0]
    return min(-(-length // PROMPT_PADDING_MULTIPLE) * PROMPT_PADDING_MULTIPLE, buckets[-1])


def _encoder_names(spec: ProgramSpec) -> tuple[str, ...]:
    return (
        *(f"encode_{n}" for n in spec.encode_batches),
        *(f"encode_1x{context}" for context in spec.audio_contexts),
        *((ENCODE_AUDIO,) if spec.skip_padding else ()),
    )


def encoder_of_frames(spec: ProgramSpec, frames: int) -> str:
    """The graph that encodes one window of so many mel frames."""
    if frames == spec.dims.n_frames:
        return "encode_1"
    return ENCODE_AUDIO if spec.skip_padding else f"encode_1x{frames // 2}"


def beam_widths(spec: ProgramSpec) -> tuple[int, ...]:
    """Rows per slot of the step graphs: one, and all. Greedy decoding must not compute beams that it does not use."""
    return (1,) if spec.beams == 1 else (1, spec.beams)


def width_of_step(name: str) -> int:
    """The rows per slot of a decode or logits graph, by its name; 0 of any other graph."""
    kind, _, width = name.partition("_")
    return int(width) if kind in N_STEP_OUTPUTS else 0


def top_k_of_width(spec: ProgramSpec, beam_width: int) -> int:
    """Tokens that a decode graph returns per row: a slot of one row needs the best alone."""
    return 1 if beam_width == 1 else spec.choices


def graph_file(directory: Path, name: str) -> Path:
    return directory / "graphs" / f"{name}.xml"


def weights_file(directory: Path) -> Path:
    """One file for all graphs: equal constants are stored once."""
    return directory / "weights" / WEIGHTS_FILE
