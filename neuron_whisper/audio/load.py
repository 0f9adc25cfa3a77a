"""load_audio: bytes, a path, a stream or stdin -> AudioClip, within limits."""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.audio.clip import AudioBlock, AudioClip
from neuron_whisper.audio.container.parts import find_parts
from neuron_whisper.audio.container.tracks import FIELD, AudioTrack, TrackChoice, choose_track
from neuron_whisper.audio.decode_av import AudioDecoder
from neuron_whisper.audio.decode_parts import PartsDecoder
from neuron_whisper.audio.decode_soundfile import SoundFileDecoder, open_sound_file
from neuron_whisper.audio.downmix import Downmixer
from neuron_whisper.audio.levels import IntegerSizeDetector, silence_invalid_samples
from neuron_whisper.audio.limits import MAX_CHANNELS, MAX_RATE, MIN_RATE, AudioLimits
from neuron_whisper.audio.resample import Resampler
from neuron_whisper.audio.sample_buffer import SpillableBuffer
from neuron_whisper.errors import AudioTooLarge, AudioUnreadable, InvalidOption

__all__ = ["AudioLimits", "RawEncoding", "RawFormat", "check_readable", "load_audio"]

RawEncoding = Literal["s16le", "s32le", "f32le", "u8", "mulaw", "alaw", "g722"]
READ_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RawFormat:
    """The format of samples without a header. Raises InvalidOption."""

    sample_rate: int = 16_000
    channels: int = 1
    encoding: RawEncoding = "s16le"

    def __post_init__(self) -> None:
        if not MIN_RATE <= self.sample_rate <= MAX_RATE:
            raise InvalidOption("sample_rate", self.sample_rate, f"it may be {MIN_RATE} to {MAX_RATE} Hz")
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise InvalidOption("channels", self.channels, f"it may be 1 to {MAX_CHANNELS}")
        if self.encoding == "g722" and (self.sample_rate, self.channels) != (16_000, 1):
            raise InvalidOption("encoding", self.encoding, "G.722 is 16,000 Hz and one channel")
        if self.encoding not in get_args(RawEncoding):
            raise InvalidOption("encoding", self.encoding, f"it may be {', '.join(get_args(RawEncoding))}")


def load_audio(
    source: str | Path | bytes | BinaryIO,
    *,
    name: str | None = None,
    channel: int | None = None,
    limits: AudioLimits | None = None,
    raw: RawFormat | None = None,
    audio_track: int | str | None = None,
    language: str | None = None,
    track_field: str = FIELD,
    buffer: SpillableBuffer | None = None,
) -> AudioClip:
    """Decode `source` to mono float32 at 16 kHz; the string "-" is stdin.

    The content decides the format, never the name. Channels are averaged, or `channel` (from 0) is taken alone.
    Where channels cancel each other the louder one is taken, and floats that hold integers are scaled.

    Of several audio tracks `audio_track`, a number from 0 or the code of a language, is taken; without it the one that
    is tagged with `language`, else the one that a player would play. Users know this argument as `track_field`.
    Recordings that lie one behind the other in the file are all decoded. What is missing is silence, damaged parts are
    left out, and `AudioClip.warnings` says so. The samples of more than ten minutes are in a temporary file that is
    mapped into memory. `buffer` collects them, and is closed; by default a new one.

    Raises AudioUnreadable, AudioTooLong, AudioTooLarge, and InvalidOption for a channel or track that is not there.
    """
    limits = limits or AudioLimits()
    if channel is not None and channel < 0:
        raise InvalidOption("channel", channel, "channels are counted from 0")
    track = TrackChoice(track=audio_track, language=language, field=track_field)
    name = name or _default_name(source)
    with ExitStack() as stack:
        file = _open(source, name, limits.max_bytes, stack)
        decoder = _create_decoder(file, name, limits, raw, track)
        buffer = stack.enter_context(closing(buffer or SpillableBuffer()))
        samples, notes = _to_mono_16k(decoder.decode_blocks(), channel, buffer)
    if not len(samples):
        raise AudioUnreadable(name, "it holds no samples")
    return AudioClip(samples=samples, source=name, warnings=(*decoder.warnings, *notes))


def _create_decoder(
    file: BinaryIO, name: str, limits: AudioLimits, raw: RawFormat | None, track: TrackChoice
) -> AudioDecoder | SoundFileDecoder | PartsDecoder:
    """libsndfile for undamaged files of uncompressed samples, FFmpeg for all others."""
    if raw is None:
        sound = open_sound_file(file, name, limits)
        if sound is not None:
            choose_track([AudioTrack("")], track)
            return sound
        found = find_parts(file)
        size = file.seek(0, 2)
        file.seek(0)
        if len(found.parts) > 1 or found.notes or not found.is_whole or found.parts[0].end < size:
            return PartsDecoder(file, name, limits, found, track)
        return AudioDecoder(file, name, limits, track=track)
    options = {"sample_rate": str(raw.sample_rate), "ch_layout": f"{raw.channels} channels"}
    if raw.encoding == "g722":  # always 16 kHz
        options = {}
    return AudioDecoder(file, name, limits, demuxer=raw.encoding, demuxer_options=options)


# --- where the bytes come from ----------------------------------------------------------------


def _default_name(source: str | Path | bytes | BinaryIO) -> str:
    if isinstance(source, (str, Path)):
        return "stdin" if source == "-" else str(source)
    if isinstance(source, bytes):
        return "audio"
    name = getattr(source, "name", None)  # of an open file; a number for a bare descriptor
    return name if isinstance(name, str) else "audio"


def _open(source: str | Path | bytes | BinaryIO, name: str, max_bytes: int | None, stack: ExitStack) -> BinaryIO:
    """A seekable file at its start, of at most max_bytes, None for any number; `stack` closes what is opened here."""
    if isinstance(source, bytes):
        file: BinaryIO = BytesIO(source)
    elif isinstance(source, (str, Path)):
        file = sys.stdin.buffer if source == "-" else stack.enter_context(_open_path(Path(source), name))
    else:
        file = source
    is_seekable = getattr(file, "seekable", None)  # a file object may have no method but read
    if is_seekable is None or not (is_seekable() and file.tell() == 0):
        return _read_all(file, name, max_bytes)
    size = file.seek(0, 2)
    file.seek(0)
    if max_bytes is not None and size > max_bytes:
        raise AudioTooLarge(name, "the file", max_bytes)
    # a device reports size 0 and then returns bytes
    return file if size else _read_all(file, name, max_bytes)


def check_readable(path: Path) -> None:
    """Raises AudioUnreadable for a file that load_audio cannot open. A pipe is left alone: it can be opened once."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        mode = stat.S_IFREG  # opening it gives the reason
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        _open_path(path, str(path)).close()


def _open_path(path: Path, name: str) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise AudioUnreadable(name, "there is no such file") from None
    except IsADirectoryError:
        raise AudioUnreadable(name, "this is a directory; name the files in it") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise AudioUnreadable(name, f"the file cannot be opened: {reason}") from None


def _read_all(file: BinaryIO, name: str, max_bytes: int | None) -> BinaryIO:
    content = BytesIO()
    while piece := file.read(READ_CHUNK_BYTES):
        content.write(piece)
        if max_bytes is not None and content.tell() > max_bytes:
            raise AudioTooLarge(name, "the file", max_bytes)
    content.seek(0)
    return content


# --- samples -----------------------------------------------------------------------------------


def _to_mono_16k(
    blocks: Iterable[AudioBlock], channel: int | None, buffer: SpillableBuffer
) -> tuple[NDArray[np.float32], list[str]]:
    """All blocks as one mono signal at 16 kHz, and warnings about it."""
    mixer, size = _MonoMixer(buffer), IntegerSizeDetector()
    silenced, replaced, is_first = 0, False, True
    for block in blocks:
        values, bad = silence_invalid_samples(block.samples)
        silenced += bad
        if is_first:
            _check_channel(channel, len(values))
            is_first = False
        if channel is not None and channel < len(values):
            values = values[channel : channel + 1]
        else:
            replaced |= channel is not None
        size.record(values)
        mixer.push(block.rate, values)
    mixer.finish()
    notes = []
    if silenced:
        samples = "1 sample was not a number" if silenced == 1 else f"{silenced:,} samples were not numbers"
        notes.append(f"{samples}, or absurdly large, and became silence")
    if replaced:
        notes.append(f"channel {channel} ends before the audio does; the mean of the others stands in for it")
    if mixer.cancelled_s:
        seconds = f"{max(mixer.cancelled_s, 0.1):.1f} s"
        notes.append(f"the channels cancel each other for {seconds}: the louder one is taken there, not their mean")
    return buffer.finish(size.scale), [*notes, *size.messages()]


class _MonoMixer:
    """Mixes and resamples blocks whose rate and channels may change, into a buffer."""

    def __init__(self, buffer: SpillableBuffer) -> None:
        self._buffer = buffer
        self._downmixer: Downmixer | None = None
        self._resampler: Resampler | None = None
        self.cancelled_s = 0.0

    def push(self, rate: int, samples: NDArray[np.float32]) -> None:
        """Take samples (channels, n) at `rate` Hz."""
        downmixer, resampler = self._downmixer, self._resampler
        if downmixer is None or (downmixer.rate, downmixer.channels) != (rate, len(samples)):
            self._end_mixture()
            downmixer = self._downmixer = Downmixer(rate, len(samples))
        if resampler is None or resampler.rate != rate:
            if resampler is not None:
                self._buffer.append(resampler.finish())
            resampler = self._resampler = Resampler(rate)
        self._buffer.append(resampler.push(downmixer.push(samples)))

    def _end_mixture(self) -> None:
        if self._downmixer is not None and self._resampler is not None:
            self._buffer.append(self._resampler.push(self._downmixer.finish()))
            self.cancelled_s += self._downmixer.cancelled_s

    def finish(self) -> None:
        """Write the rest."""
        self._end_mixture()
        if self._resampler is not None:
            self._buffer.append(self._resampler.finish())


def _check_channel(channel: int | None, channels: int) -> None:
    if channel is not None and channel >= channels:
        numbers = "only channel 0" if channels == 1 else f"channels 0 to {channels - 1}"
        raise InvalidOption("channel", channel, f"the audio has {numbers}")
