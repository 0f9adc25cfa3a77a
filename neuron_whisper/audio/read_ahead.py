"""AudioReader: files that are read with the same options, some of them before they are asked for."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any

from neuron_whisper.audio.clip import AudioClip


class AudioReader:
    """Reads files by load_audio with `options`, its arguments; any thread may call it."""

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._begun: dict[str, Future[AudioClip]] = {}

    def begin(self, file: str) -> None:
        """Read the file in a thread of its own, which does not keep the process from ending."""
        future: Future[AudioClip] = Future()

        def work() -> None:
            try:
                future.set_result(self._read(file))
            except BaseException as error:
                future.set_exception(error)

        self._begun[file] = future
        threading.Thread(target=work, name="read ahead", daemon=True).start()

    def read(self, file: str) -> AudioClip:
        """The clip, of a file that was begun when that is done. Raises InputError, as load_audio."""
        future = self._begun.pop(file, None)
        return self._read(file) if future is None else future.result()

    def _read(self, file: str) -> AudioClip:
        from neuron_whisper.audio.load import load_audio

        return load_audio(file, **self._options)
