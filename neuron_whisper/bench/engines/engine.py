"""The interface of an engine under test, and clips transcribed by several threads that share one.

Imports only the standard library and numpy, so that a peer's own python can run it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.bench.engines.results import TranscriptionResult

Samples = NDArray[np.float32]  # mono, 16 kHz


class WhisperEngine(Protocol):
    """An engine may also have `graph_totals() -> list[GraphTotal]`: how long its graphs took."""

    is_serial: bool  # one clip at a time; further calls wait

    def transcribe(self, samples: Samples, language: str | None) -> TranscriptionResult: ...


def run_concurrently(engine: WhisperEngine, clips: Sequence[tuple[Samples, str | None]], streams: int) -> None:
    """Transcribe all clips with `streams` threads that share the engine. Raises the first error of any thread."""
    waiting = list(reversed(clips))
    errors: list[BaseException] = []

    def work() -> None:
        while waiting and not errors:
            try:
                samples, language = waiting.pop()
            except IndexError:  # another thread took the last one
                return
            try:
                engine.transcribe(samples, language)
            except Exception as error:
                errors.append(error)

    threads = [threading.Thread(target=work, name=f"stream {n}") for n in range(streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
