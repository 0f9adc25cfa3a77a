"""PcmStream: raw audio in pieces of any length, 16-bit PCM or G.711, to float32 at 16 kHz."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.audio.resample import Resampler
from neuron_whisper.errors import InvalidOption

ENCODINGS = ("pcm16", "g711_ulaw", "g711_alaw")
PCM_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # those whose filters are small
G711_RATE = 8000
BYTES_PER_SAMPLE: Mapping[str, int] = MappingProxyType({"pcm16": 2, "g711_ulaw": 1, "g711_alaw": 1})
FULL_SCALE = 32768.0


class PcmStream:
    """Converts one signal; `push` its bytes as they arrive. For one thread.

    The bytes may be cut anywhere, also within a sample: the result is the same. Raises InvalidOption.
    """

    def __init__(self, encoding: str = "pcm16", rate: int = 16_000) -> None:
        if encoding not in ENCODINGS:
            raise InvalidOption("encoding", encoding, f"one of {', '.join(ENCODINGS)}")
        allowed = PCM_RATES if encoding == "pcm16" else (G711_RATE,)
        if rate not in allowed:
            raise InvalidOption("sample_rate", rate, f"with {encoding} it is {' or '.join(map(str, allowed))}")
        self.encoding, self.rate = encoding, rate
        self._resampler = Resampler(rate, block_samples=1)
        self._partial_sample = b""

    def push(self, data: bytes) -> NDArray[np.float32]:
        """The samples at 16 kHz that are complete now, about [-1, 1)."""
        data = self._partial_sample + data
        complete = len(data) // BYTES_PER_SAMPLE[self.encoding] * BYTES_PER_SAMPLE[self.encoding]
        self._partial_sample = data[complete:]
        return self._resampler.push(self._decode_samples(data[:complete])) if complete else np.empty(0, np.float32)

    def drop_partial_sample(self) -> None:
        """Forget the bytes of an incomplete sample: what is pushed next begins with a whole one."""
        self._partial_sample = b""

    def finish(self) -> NDArray[np.float32]:
        """The rest of the resampler's output; an incomplete sample is dropped. Nothing may be pushed after it."""
        return self._resampler.finish()

    def _decode_samples(self, data: bytes) -> NDArray[np.float32]:
        if self.encoding == "pcm16":
            return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(FULL_SCALE)
        return _g711_table(self.encoding)[np.frombuffer(data, np.uint8)]


@cache
def _g711_table(encoding: str) -> NDArray[np.float32]:
    """(256,) the sample of each byte, by ITU-T G.711."""
    code = np.arange(256)
    if encoding == "g711_ulaw":
        code = ~code & 0xFF
        exponent, mantissa = (code >> 4) & 7, code & 15
        size = (((mantissa << 3) + 0x84) << exponent) - 0x84
        signed = np.where(code & 0x80, -size, size)
    else:
        code = code ^ 0x55
        exponent, mantissa = (code >> 4) & 7, code & 15
        size = np.where(exponent == 0, (mantissa << 4) + 8, ((mantissa << 4) + 0x108) << np.maximum(exponent - 1, 0))
        signed = np.where(code & 0x80, size, -size)
    table = (signed / FULL_SCALE).astype(np.float32)
    table.setflags(write=False)
    return table
