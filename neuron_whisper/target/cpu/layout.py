"""Which graphs a CPU artifact holds, and the order of their ports: agreed between lowering and session.

K/V ports come per decoder layer as key, value. Axes as in graph/whisper.

| graph     | inputs                                                      | outputs                                    |
| --------- | ----------------------------------------------------------- | ------------------------------------------ |
| encode_N  | mel (N, n_mels, 2A)                                         | cross-K/V (N, H, A, D)                     |
| prefill_T | tokens (1, T), sot_and_last (2,), rules, banned, cross-K/V  | languages, no_speech, best, logprobs, rows |
| decode_S  | tokens (S, B), positions (S, B), rules, banned, past, cross | best, logprobs, rows (S, B, H, D)          |
| align_T   | tokens (1, T), cross-K/V                                    | weights (heads, T, A)                      |
"""

from __future__ import annotations

from pathlib import Path

from neuron_whisper.target.contract import ProgramSpec

WEIGHTS_FILE = "weights.bin"
PREFILL_INPUTS = 4  # before the K/V ports
PREFILL_OUTPUTS = 4
DECODE_INPUTS = 4
DECODE_OUTPUTS = 2
ALIGN_INPUTS = 1


def graph_names(spec: ProgramSpec) -> tuple[str, ...]:
    """Every graph of the program, in the order they are lowered."""
    return (
        *(f"encode_{n}" for n in spec.encode_batches),
        *(f"prefill_{t}" for t in spec.prompt_buckets),
        *(f"decode_{s}" for s in decode_slots(spec)),
        *(f"align_{t}" for t in spec.align_buckets),
    )


def decode_slots(spec: ProgramSpec) -> tuple[int, ...]:
    """Numbers of slots that have a decode graph: one alone, and all of them.

    A step of all slots reads every slot's cross-K/V, idle or not; a lone request must not pay for that.
    """
    return (1,) if spec.slots == 1 else (1, spec.slots)


def graph_file(directory: Path, name: str) -> Path:
    return directory / "graphs" / f"{name}.xml"


def weights_file(directory: Path) -> Path:
    """One file for all graphs: equal constants are stored once."""
    return directory / "weights" / WEIGHTS_FILE
