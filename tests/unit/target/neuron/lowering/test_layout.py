"""The packed inputs of prompts and steps."""

from __future__ import annotations

import subprocess
import sys

import pytest

from neuron_whisper.target.interfaces import N_RULES
from neuron_whisper.target.neuron.lowering import layout


def test_columns_follow_each_other() -> None:
    assert (layout.TOKEN, layout.POSITION, layout.PARENT, layout.ACTIVE, layout.STEP_COLUMNS) == (0, 1, 2, 3, 4)
    assert (layout.SLOT, layout.SOT, layout.LAST, layout.PROMPT_COLUMNS) == (0, 1, 2, 3)
    assert layout.LOGITS_COLUMNS == 4 + N_RULES + 1, "NxD distinguishes decode and logits by their width"


def test_every_token_has_a_bit() -> None:
    assert [layout.count_suppression_words(vocab) for vocab in (1, 16, 17, 51866)] == [1, 1, 2, 3242]


def test_the_layout_is_read_without_torch() -> None:
    code = "import sys, neuron_whisper.target.neuron.lowering.layout; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("context", "padded"), [(448, 512), (447, 448), (64, 128), (63, 64), (8, 64)])
def test_a_row_of_a_cache_is_aligned_and_has_a_spare_position(context: int, padded: int) -> None:
    assert layout.padded_context(context) == padded
    assert padded % 64 == 0
