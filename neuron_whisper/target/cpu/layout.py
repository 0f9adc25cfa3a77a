"""Which graphs a CPU artifact holds, and the order of their ports: agreed between lowering and session.

K/V ports come per decoder layer as key, value. Axes as in graph/whisper; a graph's B is 1 (narrow: of slots that
decode in one row) or the program's beams (wide).

| graph      | inputs                                                     | outputs                                    |
| ---------- | ---------------------------------------------------------- | ------------------------------------------ |
| encode_N   | mel (N, n_mels, 2A)                                        | cross-K/V (N, H, A, D)                     |
| encode_1xC | mel (1, n_mels, 2C), a shorter window                      | the same                                   |
| prefill_T  | tokens (1, T), sot_and_last (2,), rules, banned, cross-K/V | languages, no_speech, best, logprobs, rows |
| decode_SxB | tokens, positions (S, B), rules, banned, past, cross       | best, logprobs, rows (S, B, H, D)          |
| logits_1xB | as decode_1xB                                              | logprobs (B, n_vocab), rows (1, B, H, D)   |
| align_T    | tokens (1, T), cross-K/V                                   | weights (heads, T, A)                      |
"""

from __future__ import annotations

from pathlib import Path

from neuron_whisper.target.contract import ProgramSpec

WEIGHTS_FILE = "weights.bin"
PREFILL_INPUTS = 4  # before the K/V ports
PREFILL_OUTPUTS = 4
STEP_INPUTS = 4  # of decode and logits, before the K/V ports
STEP_ANSWERS = {"decode": 2, "logits": 1}  # outputs before the rows
ALIGN_INPUTS = 1


def graph_names(spec: ProgramSpec) -> tuple[str, ...]:
    """Every graph of the program, in the order they are lowered."""
    return (
        *_encoders(spec),
        *(f"prefill_{t}" for t in spec.prompt_buckets),
        *(f"decode_{slots}x{width}" for width in widths(spec) for slots in decode_slots(spec)),
        *(f"logits_1x{width}" for width in widths(spec)),
        *(f"align_{t}" for t in spec.align_buckets),
    )


def graphs_at_open(spec: ProgramSpec) -> tuple[str, ...]:
    """Those that every request needs. Each compiled graph holds its own weights: the others (long prompts, beams,
    sampling, word times) are compiled when they are first asked for.
    """
    return (
        *_encoders(spec),
        f"prefill_{spec.prompt_buckets[0]}",
        *(f"decode_{slots}x1" for slots in decode_slots(spec)),
    )


def _encoders(spec: ProgramSpec) -> tuple[str, ...]:
    return *(f"encode_{n}" for n in spec.encode_batches), *(f"encode_1x{context}" for context in spec.audio_contexts)


def decode_slots(spec: ProgramSpec) -> tuple[int, ...]:
    """Numbers of slots that have a decode graph: one alone, and all of them.

    A step of all slots reads every slot's cross-K/V, idle or not; a lone request must not pay for that.
    """
    return (1,) if spec.slots == 1 else (1, spec.slots)


def widths(spec: ProgramSpec) -> tuple[int, ...]:
    """Rows of a slot in a graph: one, and all. Greedy decoding must not pay for beams that it does not have."""
    return (1,) if spec.beams == 1 else (1, spec.beams)


def choices(spec: ProgramSpec, width: int) -> int:
    """Tokens that a row of a decode graph answers: a slot of one row goes on with the best."""
    return 1 if width == 1 else spec.choices


def graph_file(directory: Path, name: str) -> Path:
    return directory / "graphs" / f"{name}.xml"


def weights_file(directory: Path) -> Path:
    """One file for all graphs: equal constants are stored once."""
    return directory / "weights" / WEIGHTS_FILE
