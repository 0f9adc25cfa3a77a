"""check_tables: refuses a file whose tables promise more than its bytes can hold."""

from __future__ import annotations

from typing import BinaryIO

from neuron_whisper.audio.tables.id3 import check_id3_tags
from neuron_whisper.audio.tables.mp4 import FIRST_BOXES, check_mp4
from neuron_whisper.audio.tables.promise import BrokenPromise
from neuron_whisper.errors import AudioForged


def check_tables(file: BinaryIO, name: str) -> None:
    """Check the tables of MP4 and its relatives, and the compressed tags of MP3 and others. Raises AudioForged.

    FFmpeg reserves memory for what a file promises: 500 bytes of MP4 take 16 GB. Reads the headers alone, a bounded
    number of times. The position of the seekable file is at its start before and after.
    """
    head = file.read(12)
    try:
        if head[4:8] in FIRST_BOXES:
            check_mp4(file)
        else:
            check_id3_tags(file, head)
    except BrokenPromise as broken:
        raise AudioForged(name, f"{broken}; the file is damaged or forged") from None
    finally:
        file.seek(0)
