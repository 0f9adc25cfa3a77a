"""open_with_descriptor: an upload as a file that a child process can be given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from neuron_whisper.audio.process.decoder import create_memory_file


@contextmanager
def open_with_descriptor(upload: SpooledTemporaryFile[bytes]) -> Iterator[BinaryIO]:
    """The upload, which its caller closes, or a copy in memory of one that is in memory; at its start."""
    if upload.name is not None:  # on disk
        upload.seek(0)
        yield cast("BinaryIO", upload)
        return
    with create_memory_file() as file:
        upload.seek(0)
        file.write(upload.read())
        file.seek(0)
        yield file
