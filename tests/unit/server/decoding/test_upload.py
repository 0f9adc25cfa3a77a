"""An upload as a file with a descriptor, wherever it lies."""

from __future__ import annotations

import os
from tempfile import SpooledTemporaryFile

import pytest

from neuron_whisper.server.decoding.upload import open_with_descriptor


@pytest.mark.parametrize("size", [0, 10, 1000])
def test_an_upload_has_a_descriptor_at_its_start_in_memory_and_on_disk(size: int) -> None:
    with SpooledTemporaryFile(100) as upload:
        upload.write(bytes(range(10)) * (size // 10))
        with open_with_descriptor(upload) as file:
            assert os.fstat(file.fileno()).st_size == size
            assert os.read(file.fileno(), 2000) == bytes(range(10)) * (size // 10)
        assert (upload.name is None) == (size <= 100)  # what was in memory stays there
