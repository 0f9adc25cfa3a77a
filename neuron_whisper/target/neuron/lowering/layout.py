"""How prompts and steps are packed into one int32 tensor each, and the files of an artifact.

Imports no torch: the session and `plan` read it too.

Each input is a transfer of its own to every core, so a call has one:
a prompt (1, PROMPT_COLUMNS + N_RULES + W + T): slot, positions, rules, suppression words, tokens;
a step (R, STEP_COLUMNS + N_RULES): token, position, parent, active, rules.
W words of SUPPRESSION_WORD_BITS tokens each. Axes as in graph/whisper.
"""

from __future__ import annotations

from pathlib import Path

from neuron_whisper.target.interfaces import N_RULES

GRAPHS_FILE = "graphs.pt"  # NxD's bundle

TOKEN, POSITION, PARENT, ACTIVE, STEP_COLUMNS = range(5)
SLOT, SOT, LAST, PROMPT_COLUMNS = range(4)
LOGITS_COLUMNS = STEP_COLUMNS + N_RULES + 1  # one is unused: NxD distinguishes graphs by their inputs' shapes

# Of an int32 word no more bits are used than float32 holds exactly, in which a device may divide integers.
SUPPRESSION_WORD_BITS = 16

SPARE_MULTIPLE = 64  # positions


def padded_context(text_context: int) -> int:
    """Positions of a row of self-K/V: an aligned number, at least one more than are used.

    Rows that are not in use write behind the last one that is.
    """
    return (text_context // SPARE_MULTIPLE + 1) * SPARE_MULTIPLE


def count_suppression_words(vocab: int) -> int:
    """int32 words that hold a bit for every token."""
    return -(-vocab // SUPPRESSION_WORD_BITS)


def weights_file(directory: Path, rank: int) -> Path:
    return directory / "weights" / f"tp{rank}.safetensors"
