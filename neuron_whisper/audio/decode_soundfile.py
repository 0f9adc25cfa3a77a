"""SoundFileDecoder: undamaged files of uncompressed samples -> float32 blocks, by libsndfile, within limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import BinaryIO, ClassVar

import numpy as np
import soundfile

from neuron_whisper.audio.clip import AudioBlock
from neuron_whisper.audio.limits import MAX_CHANNELS, MAX_RATE, MIN_RATE, AudioLimits, DecodedAmount
from neuron_whisper.audio.sample_data import find_sample_data

BLOCK_VALUES = 1 << 18  # of all channels together

# libsndfile's name -> (bytes of a stored sample, bytes of the sample that FFmpeg decodes it to, which limits count)
SAMPLE_BYTES: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "PCM_S8": (1, 1),
        "PCM_U8": (1, 1),
        "PCM_16": (2, 2),
        "PCM_24": (3, 4),
        "PCM_32": (4, 4),
        "FLOAT": (4, 4),
        "DOUBLE": (8, 8),
        "ULAW": (1, 2),
        "ALAW": (1, 2),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundFileDecoder:
    """Decodes one file whose stated size fits it: nothing can be missing, and there are no warnings."""

    sound: soundfile.SoundFile
    name: str
    limits: AudioLimits
    warnings: ClassVar[tuple[str, ...]] = ()

    def decode_blocks(self) -> Iterator[AudioBlock]:
        """Raises AudioTooLong, AudioTooLarge."""
        sound = self.sound
        rate, channels = sound.samplerate, sound.channels
        _, decoded_bytes = SAMPLE_BYTES[sound.subtype]
        # a double is converted here, as FFmpeg's are: beyond float32 it becomes inf, which the loader replaces by 0
        dtype = "float64" if sound.subtype == "DOUBLE" else "float32"
        amount = DecodedAmount(self.name, self.limits)
        with sound:
            for values in sound.blocks(max(1, BLOCK_VALUES // channels), dtype=dtype, always_2d=True):
                amount.add(len(values) / rate, values.size * decoded_bytes)
                with np.errstate(over="ignore"):  # left before the yield: it is a state of the caller's thread
                    samples = np.ascontiguousarray(values.T, np.float32)
                yield AudioBlock(rate, samples)


def open_sound_file(file: BinaryIO, name: str, limits: AudioLimits) -> SoundFileDecoder | None:
    """The decoder of a seekable file; None when it is damaged, unsized, compressed or of another kind.

    libsndfile refuses or cuts short what is damaged, and FFmpeg decodes what is left of it. The position of the file
    is at its start again.
    """
    data = find_sample_data(file)
    file.seek(0)
    if data is None or not data.n_bytes:
        return None
    try:
        sound = soundfile.SoundFile(file)
    except soundfile.LibsndfileError:
        file.seek(0)
        return None
    stored_bytes, _ = SAMPLE_BYTES.get(sound.subtype, (0, 0))
    if (
        0 <= data.n_bytes - sound.frames * sound.channels * stored_bytes <= 1  # a byte that makes the size even
        and data.n_frames in (None, sound.frames)
        and MIN_RATE <= sound.samplerate <= MAX_RATE
        and 1 <= sound.channels <= MAX_CHANNELS
    ):
        return SoundFileDecoder(sound=sound, name=name, limits=limits)
    sound.close()
    file.seek(0)
    return None
