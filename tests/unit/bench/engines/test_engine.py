"""Threads that share an engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neuron_whisper.bench.engines.engine import run_concurrently


def test_streams_share_an_engine_and_transcribe_each_clip_once() -> None:
    lengths: list[int] = []

    class Counting:
        is_serial = False

        def transcribe(self, samples: Any, language: str | None) -> Any:
            lengths.append(len(samples))
            if len(samples) == 99:
                raise ValueError("ninety-nine")

    clips = [(np.zeros(n, np.float32), "en") for n in range(1, 21)]
    run_concurrently(Counting(), clips, 4)
    assert sorted(lengths) == list(range(1, 21))
    with pytest.raises(ValueError, match="ninety-nine"):
        run_concurrently(Counting(), [(np.zeros(99, np.float32), None)], 2)
