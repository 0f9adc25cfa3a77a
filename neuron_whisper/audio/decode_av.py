"""AudioDecoder: encoded audio -> float32 blocks with the file's own rate and channels, by FFmpeg, within limits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from numpy.typing import NDArray

from neuron_whisper.audio import sniff
from neuron_whisper.audio.clip import AudioBlock
from neuron_whisper.audio.container.encryption import ALL_TRACKS, ENCRYPTED, count_encrypted_tracks
from neuron_whisper.audio.container.flac_frames import MAX_HEADER_BYTES, read_first_sample
from neuron_whisper.audio.container.formats import DEMUXERS, list_supported_codecs
from neuron_whisper.audio.container.skipped_bytes import SkippedBytes, is_adts
from neuron_whisper.audio.container.timeline import TimedFrame, Timeline
from neuron_whisper.audio.container.tracks import AudioTrack, TrackChoice, choose_track
from neuron_whisper.audio.decode_warnings import DecodeDiagnostics, pluralize
from neuron_whisper.audio.limits import MAX_CHANNELS, MAX_RATE, MAX_RATE_CHANGES, MIN_RATE, AudioLimits, DecodedAmount
from neuron_whisper.audio.tables.check import check_tables
from neuron_whisper.errors import AudioForged, AudioUnreadable

FRAME_PLANE_POINTERS = 8  # AV_NUM_DATA_POINTERS
HEAD_BYTES = 65_536
MIN_RATE_MEASURED_S = 0.5
MAX_FRUITLESS_PACKETS = 50_000  # minutes of damage; blocks of nothing but empty frames never end
# Streams of a file, each of which gets a decoder, and bytes that are read to find the parameters of the streams.
MAX_STREAMS = 128
OPENING_LIMITS = {"max_streams": str(MAX_STREAMS), "probesize": "2000000"}
SILENCE_VALUES = 1 << 18  # of all channels together

# How far the decoded duration may fall short of the stated one before a warning says so: lossy codecs state padding
# that their decoders trim.
EXACT_CONTAINERS = frozenset({"w64", "aiff", "caf", "au", "flac"})
EXACT_TOLERANCE_S, LOSSY_TOLERANCE_S = 0.002, 0.25
# Those that store when a packet is heard; others count their samples, and show nothing that is missing.
CONTAINERS_WITH_TIMESTAMPS = frozenset(
    {"ogg", "flac", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "mpegts", "mpeg", "flv", "asf", "nut", "wtv", "rm"}
)
CONTAINERS_THAT_STATE_THE_END = frozenset({"matroska,webm", "asf", "nut"})  # where others state the duration
# the first timestamp that is 0 again, in seconds
TIMESTAMP_WRAPS = {"mpegts": 2**33 / 90_000, "mpeg": 2**33 / 90_000, "flv": 2**32 / 1000}
# FFmpeg estimates the duration of others from their size or bit rate
CONTAINERS_WITH_DURATION = EXACT_CONTAINERS | {
    *("matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "mp3", "avi", "asf", "nut", "wtv", "wv", "tta", "ape", "tak", "mpc8")
}


@dataclass(slots=True)
class AudioDecoder:
    """One seekable file being decoded. Iterate `decode_blocks` to the end, then read `warnings`. For one thread.

    `demuxer` and `demuxer_options` are for headerless samples; otherwise the content decides. `amount`: of the
    recordings before this one in the same file.
    """

    file: BinaryIO
    name: str
    limits: AudioLimits
    demuxer: str | None = None
    demuxer_options: Mapping[str, str] = field(default_factory=dict)
    track: TrackChoice = field(default_factory=TrackChoice)
    amount: DecodedAmount | None = None
    _diagnostics: DecodeDiagnostics = field(default_factory=DecodeDiagnostics)
    _amount: DecodedAmount = field(init=False)
    _rates: list[int] = field(default_factory=list)
    _decoded_bytes: int = 0  # of packets
    _decoded_s: float = 0.0  # of their frames
    _encrypted_tracks: int = 0
    _last_flac_sample: int = 0
    _interleaver: tuple[tuple[int, str, str], av.AudioResampler] | None = None

    def __post_init__(self) -> None:
        self._amount = self.amount or DecodedAmount(self.name, self.limits)
        self._diagnostics.offset_s = self._amount.seconds

    def decode_blocks(self) -> Iterator[AudioBlock]:
        """Decode block by block; damage that can be skipped becomes a warning.

        Raises AudioUnreadable, AudioTooLong, AudioTooLarge.
        """
        head = self.file.read(HEAD_BYTES)
        if not head:
            raise AudioUnreadable(self.name, "the file is empty")
        self.file.seek(0)
        self._encrypted_tracks = count_encrypted_tracks(self.file) if self.demuxer is None else 0
        if self._encrypted_tracks == ALL_TRACKS:
            raise AudioUnreadable(self.name, ENCRYPTED)
        header = sniff.parse_wav_format(head) if self.demuxer is None else None
        if header is not None:  # the demuxer refuses such a file without a reason
            self._check_format(rate=header.sample_rate, channels=header.channels)
        with self._open(head) as container:
            stream = self._select_audio_stream(container)
            self._read_expected_duration(container, stream, head)
            timeline = self._create_timeline(container, stream)
            for silence_s, frame in timeline.place(self._decode_frames(container, stream)):
                yield from self._generate_silence(silence_s, frame)
                yield self._convert_frame(frame)
        if not self._rates:
            if self._encrypted_tracks:
                raise AudioUnreadable(self.name, ENCRYPTED)
            why = f" ({self._diagnostics.last_error})" if self._diagnostics.last_error else ""
            raise AudioUnreadable(self.name, f"it holds no samples that can be decoded{why}")

    def read_sample_format(self) -> tuple[str | None, dict[str, str]]:
        """The demuxer and its options for what lies behind the header, without one.

        No demuxer: that of the file decodes it, with these options. Raises AudioUnreadable.
        """
        head = self.file.read(HEAD_BYTES)
        self.file.seek(0)
        with self._open(head) as container:
            context = self._select_audio_stream(container).codec_context
            rate, channels = context.sample_rate, context.channels
            name = context.name
        self.file.seek(0)
        self._diagnostics.notes.clear()
        if not name.startswith("pcm_"):
            return None, {"ignore_length": "1"}
        return name.removeprefix("pcm_"), {"sample_rate": str(rate), "ch_layout": f"{channels} channels"}

    @property
    def damage(self) -> tuple[str, ...]:
        """One sentence for each kind of damage, and for a track that was chosen."""
        return self._diagnostics.messages()

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence for each kind of damage, and one for a sample rate that changes."""
        if len(self._rates) < 2:
            return self._diagnostics.messages()
        rates = ", ".join(map(str, self._rates))
        return (*self._diagnostics.messages(), f"the sample rate changes within the audio: {rates} Hz")

    # --- opening ------------------------------------------------------------------------------

    def _open(self, head: bytes) -> InputContainer:
        if self.demuxer is None:
            check_tables(self.file, self.name)
        options = {
            "format_whitelist": self.demuxer or DEMUXERS,
            "protocol_whitelist": "none",
            **OPENING_LIMITS,
            "max_size": "65536",  # of a WAV packet; the default of 4096 bytes makes an hour 150,000 packets
            "codec_whitelist": ",".join(list_supported_codecs()),
            **self.demuxer_options,
        }
        if is_adts(head):
            options["fflags"] = "+noparse"  # its demuxer gives whole frames, and where they lie only without a parser
        try:
            # tags are not used, so their encoding must not matter
            return av.open(self.file, "r", format=self.demuxer, options=options, metadata_errors="ignore")
        except MemoryError:  # FFmpeg's error for too many streams is the same
            reason = f"it has over {MAX_STREAMS} streams, or opening it takes more memory than there is"
            raise AudioForged(self.name, reason) from None
        except (av.FFmpegError, OSError, ValueError):
            reason = ENCRYPTED if self._encrypted_tracks else sniff.explain_not_audio(head)
            raise AudioUnreadable(self.name, reason) from None

    def _select_audio_stream(self, container: InputContainer) -> AudioStream:
        streams = container.streams.audio
        if not streams:
            kinds = sorted({other.type for other in container.streams})
            content = f"; it holds only {', '.join(kinds)}" if kinds else ""
            raise AudioUnreadable(self.name, f"there is no audio stream in the file{content}")
        if self._encrypted_tracks >= len(streams):
            raise AudioUnreadable(self.name, ENCRYPTED)
        best = container.streams.best("audio")  # None where FFmpeg could not determine the parameters of any
        best_index = -1 if best is None else best.index
        tracks = [AudioTrack(it.metadata.get("language", ""), it.index == best_index) for it in streams]
        number, note = choose_track(tracks, self.track)
        if note:
            self._diagnostics.notes.append(note)
        stream = streams[number]
        context = stream.codec_context
        codec = getattr(context, "name", "an unknown one")  # there is no context without a decoder
        if codec not in list_supported_codecs():
            raise AudioUnreadable(self.name, f"its audio codec, {codec}, is not supported")
        if context.sample_rate:
            self._check_format(rate=context.sample_rate, channels=1)
        if codec == "flac":
            # without a check of the checksums a flipped bit is decoded to a burst of noise
            context.options = {"err_detect": "crccheck+explode"}
        return stream

    def _check_format(self, *, rate: int, channels: int) -> None:
        if not MIN_RATE <= rate <= MAX_RATE:
            allowed = f"{MIN_RATE:,} to {MAX_RATE:,} are allowed"
            raise AudioUnreadable(self.name, f"the file claims a sample rate of {rate:,} Hz; {allowed}")
        if not 1 <= channels <= MAX_CHANNELS:
            allowed = f"1 to {MAX_CHANNELS} are allowed"
            raise AudioUnreadable(self.name, f"the file claims {channels:,} channels; {allowed}")

    def _read_expected_duration(self, container: InputContainer, stream: AudioStream, head: bytes) -> None:
        """Read from the headers what the decoded audio is compared with at the end."""
        kind, diagnostics, position = container.format.name, self._diagnostics, self.file.tell()
        diagnostics.tolerance_s = EXACT_TOLERANCE_S if kind in EXACT_CONTAINERS else LOSSY_TOLERANCE_S
        if kind == "wav":
            missing = sniff.count_wav_missing_bytes(head, self.file.seek(0, 2))
            if missing:
                verb = "is" if missing == 1 else "are"
                diagnostics.notes.append(
                    f"the file is truncated: {pluralize(missing, 'byte')} of samples {verb} missing"
                )
        elif kind == "ogg":
            self.file.seek(max(0, self.file.seek(0, 2) - sniff.OGG_LAST_PAGE_BYTES))
            if sniff.is_ogg_truncated(self.file.read(sniff.OGG_LAST_PAGE_BYTES)):
                diagnostics.notes.append("the end mark is missing: the file is truncated or cut from a stream")
        states_duration = kind in CONTAINERS_WITH_DURATION
        if kind == "mp3":
            self.file.seek(0)
            states_duration = sniff.has_mp3_length_header(self.file)
        if states_duration and self.demuxer is None:
            diagnostics.expected_s = _stated_duration_s(container, stream)
        self.file.seek(position)

    def _create_timeline(self, container: InputContainer, stream: AudioStream) -> Timeline:
        kind = container.format.name
        return Timeline(
            self._diagnostics,
            zero_s=_earliest_start_s(container, stream),
            wrap_s=TIMESTAMP_WRAPS.get(kind),
            has_timestamps=kind in CONTAINERS_WITH_TIMESTAMPS,
        )

    # --- decoding -----------------------------------------------------------------------------

    def _decode_frames(self, container: InputContainer, stream: AudioStream) -> Iterator[TimedFrame[AudioFrame]]:
        packets, lost_s = container.demux(stream), 0.0
        fruitless = 0  # packets since the last frame
        skipped = SkippedBytes(self.file) if container.format.name == "aac" else None
        is_flac = stream.codec_context.name == "flac" and container.format.name in ("flac", "ogg")
        flac_rate = stream.rate if is_flac else 0
        flac_block_samples = int.from_bytes((stream.codec_context.extradata or b"")[2:4], "big") if is_flac else 0
        while True:
            try:
                packet = next(packets, None)
            except MemoryError:
                raise
            except (av.FFmpegError, OSError, IndexError) as error:
                # The demuxer cannot go on; the audio decoded so far stays. PyAV raises IndexError for a packet of
                # a stream that did not exist when the file was opened.
                self._diagnostics.record_bad_packet(error)
                return
            if packet is None:
                return
            fruitless += 1
            if fruitless > MAX_FRUITLESS_PACKETS:
                self._diagnostics.give_up(f"{MAX_FRUITLESS_PACKETS:,} packets in a row gave no sound")
                return
            if skipped is not None and packet.size:
                lost_s += self._to_seconds(skipped.measure(packet.pos, packet.size), packet)
            try:
                frames = stream.decode(packet)
            except MemoryError:
                raise
            except av.FFmpegError as error:
                self._diagnostics.record_bad_packet(error)
                lost_s += max(_packet_duration_s(packet), packet.size * self._seconds_per_byte)
                continue
            self._decoded_bytes += packet.size
            for number, frame in enumerate(frames):
                fruitless = 0
                duration_s = frame.samples / frame.sample_rate if frame.sample_rate else 0.0
                self._decoded_s += duration_s
                start_s = frame.time
                if is_flac:  # FFmpeg counts frames, also where one is damaged
                    flac_block_samples = flac_block_samples or frame.samples  # of the first one where no header is
                    start_s = self._read_flac_start_s(packet, flac_rate, flac_block_samples) if number == 0 else None
                yield TimedFrame(content=frame, start_s=start_s, duration_s=duration_s, lost_s=lost_s)
                lost_s = 0.0

    def _read_flac_start_s(self, packet: av.Packet[Any], rate: int, block_samples: int) -> float | None:
        """The timestamp in a frame's header; None from where the numbers begin again."""
        first = read_first_sample(bytes(memoryview(packet)[:MAX_HEADER_BYTES]), block_samples)
        if first is None or not rate or first < self._last_flac_sample:
            return None
        self._last_flac_sample = first
        return first / rate

    def _to_seconds(self, n_bytes: int, packet: av.Packet[Any]) -> float:
        """What bytes before a packet stand for, by the rate of the packets so far or of this one."""
        return n_bytes * (self._seconds_per_byte or _packet_duration_s(packet) / max(1, packet.size))

    @property
    def _seconds_per_byte(self) -> float:
        """Of the packets so far: what a damaged one stands for, whose size is all that is known."""
        is_known = self._decoded_s > MIN_RATE_MEASURED_S and self._decoded_bytes
        return self._decoded_s / self._decoded_bytes if is_known else 0.0

    def _generate_silence(self, seconds: float, frame: AudioFrame) -> Iterator[AudioBlock]:
        """Silence of the format of `frame`, which counts towards the limit of seconds."""
        rate, channels = frame.sample_rate, frame.layout.nb_channels
        self._check_format(rate=rate, channels=channels)
        self._amount.add(seconds, 0)
        remaining = round(seconds * rate)
        while remaining > 0:
            n = min(remaining, max(1, SILENCE_VALUES // channels))
            yield AudioBlock(rate, np.zeros((channels, n), np.float32))
            remaining -= n

    def _convert_frame(self, frame: AudioFrame) -> AudioBlock:
        rate, channels = frame.sample_rate, frame.layout.nb_channels
        self._check_format(rate=rate, channels=channels)
        if not self._rates or rate != self._rates[-1]:
            self._rates.append(rate)
            if len(self._rates) > MAX_RATE_CHANGES:
                raise AudioUnreadable(self.name, f"the sample rate changes over {MAX_RATE_CHANGES} times")
        duration_s = frame.samples / rate
        self._amount.add(duration_s, frame.samples * channels * frame.format.bytes)
        self._diagnostics.record_frame(duration_s)
        return AudioBlock(rate, _to_float32(self._make_readable(frame, channels), channels))

    def _make_readable(self, frame: AudioFrame, channels: int) -> AudioFrame:
        """The frame, in a form whose planes PyAV can read.

        PyAV counts planes up to a null pointer, and from 8 planes on there is none: it would read beyond them.
        FFmpeg interleaves those frames into one plane.
        """
        if not frame.format.is_planar or channels < FRAME_PLANE_POINTERS:
            return frame
        kind = (frame.sample_rate, frame.format.name, frame.layout.name)
        if self._interleaver is None or self._interleaver[0] != kind:
            self._interleaver = kind, av.AudioResampler(format="flt")
        try:
            (interleaved,) = self._interleaver[1].resample(frame)
        except (av.FFmpegError, ValueError) as error:
            raise AudioUnreadable(self.name, f"{channels} channels of it cannot be read: {error}") from None
        return interleaved


def _to_float32(frame: AudioFrame, channels: int) -> NDArray[np.float32]:
    """(channels, n), a row for each channel; integers are scaled to [-1, 1)."""
    values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, channels).T
    if values.dtype == np.uint8:
        return (values.astype(np.float32, order="C") - 128.0) / 128.0
    if values.dtype.kind == "i":
        return values.astype(np.float32, order="C") / np.float32(2.0 ** (8 * values.itemsize - 1))
    with np.errstate(over="ignore"):  # a double beyond float32 becomes inf, which the loader replaces by 0
        return values.astype(np.float32, order="C")


def _earliest_start_s(container: InputContainer, stream: AudioStream) -> float | None:
    """The earliest timestamp of the other tracks; None when there are none, or they do not say it.

    A cover is no track.
    """
    starts = [
        float(other.start_time * other.time_base)
        for other in container.streams
        if other.index != stream.index
        and other.start_time is not None
        and other.time_base is not None
        and not other.disposition & Disposition.attached_pic
    ]
    return min(starts, default=None)


def _packet_duration_s(packet: av.Packet[Any]) -> float:
    if packet.duration is None or packet.time_base is None:
        return 0.0
    return max(0.0, float(packet.duration * packet.time_base))


def _stated_duration_s(container: InputContainer, stream: AudioStream) -> float:
    """From the first sample to the last, by the headers; 0 where they do not state it of this track."""
    if container.format.name in CONTAINERS_THAT_STATE_THE_END:
        starts_s = float(stream.start_time * stream.time_base) if stream.start_time and stream.time_base else 0.0
        if len(container.streams) > 1:  # FFmpeg gives every track the duration of the longest
            return _parse_clock_s(stream.metadata.get("DURATION", ""))
        return max(0.0, (container.duration or 0) / av.time_base - max(0.0, starts_s))
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and len(container.streams) == 1:
        return container.duration / av.time_base
    return 0.0


def _parse_clock_s(text: str) -> float:
    """ "00:00:11.021000000" -> 11.021; 0 for anything else."""
    match = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", text.strip("\0 "))
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3]) if match else 0.0
