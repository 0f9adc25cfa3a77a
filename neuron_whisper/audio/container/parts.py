"""find_parts: recordings that lie one behind the other in a file, and samples behind a size that is too small."""

from __future__ import annotations

import io
from collections.abc import Mapping
from types import MappingProxyType
from typing import BinaryIO, NamedTuple, cast

from neuron_whisper.audio.container.beginnings import NEXT_BOXES, find_recording, holds_frames, identify_recording
from neuron_whisper.audio.container.file_bytes import FileBytes
from neuron_whisper.audio.container.frames import FRAME_BYTES
from neuron_whisper.audio.container.mp4_boxes import Box, Patch, find_hidden_index, iterate_boxes
from neuron_whisper.audio.container.mp4_index import measure_samples
from neuron_whisper.audio.container.sample_layout import SampleLayout, find_sample_layout
from neuron_whisper.audio.container.signatures import MP4_BOXES, classify, is_tag, looks_like_samples
from neuron_whisper.audio.container.structure import Extent, find_extent, measure_id3, skip_tags
from neuron_whisper.audio.decode_warnings import pluralize

MAX_PARTS = 1000  # each is opened and decoded on its own
HEAD_BYTES = 4096
MIN_REST_BYTES = 1024  # behind the samples; less is padding, whatever it holds
SAMPLED_BYTES = 1 << 16
SEARCH_BYTES = 1 << 20
LAYOUT_KINDS = ("riff", "aiff", "caf", "au", "w64")
# Behind damage, frames of the same kind are this recording, and their clock is not known.
CONTINUING_KINDS = (*FRAME_BYTES, "ts", "ps")
# Others may hold streams of frames: what looks like one in them is their content.
KINDS_WITHOUT_FRAMES = (*FRAME_BYTES, *LAYOUT_KINDS, "flac", "ogg", "tta", "amr", "nut")
TRIMMED_KINDS = ("flac", "amr")  # zeros are frames of AMR: of noise
MAX_LAST_ZEROS = 32  # that may belong to the last frame
RESYNC_MARKS: Mapping[str, bytes] = MappingProxyType(
    {"ogg": b"OggS\0", "ebml": b"\x1f\x43\xb6\x75", "ps": b"\0\0\1\xba"}
)
"""kind -> bytes that every later part of such a recording has"""


KIND_NAMES: Mapping[str, str] = MappingProxyType(
    {
        **{"riff": "WAV", "aiff": "AIFF", "caf": "CAF", "au": "AU", "w64": "W64", "flac": "FLAC", "ogg": "Ogg"},
        **{"mp4": "MP4", "ebml": "WebM or Matroska", "flv": "FLV", "avi": "AVI", "asf": "Windows Media", "nut": "NUT"},
        **{"ts": "MPEG-TS", "ps": "MPEG-PS", "mp3": "MP3", "mp2": "MP2", "adts": "AAC", "ac3": "AC-3", "dts": "DTS"},
        **{"amr": "AMR", "wavpack": "WavPack", "tta": "TTA"},
    }
)


class Part(NamedTuple):
    """One recording. `samples_at`: it is nothing but samples from there on, of the format that the header states.

    `patch`: bytes of a header that are wrong, at their offset in the file.
    """

    start: int
    end: int
    kind: str = ""
    samples_at: int | None = None
    patch: Patch | None = None

    @property
    def name(self) -> str:
        """The kind in words for users."""
        return KIND_NAMES.get(self.kind, "recording")


class FileParts(NamedTuple):
    """The recordings of a file, and warnings about what its headers do not say. `is_whole` False: there are more."""

    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()
    is_whole: bool = True


class _End(NamedTuple):
    """`stop`: of a recording. `start`, `kind`: of the next one; the end of the file and "" when there is none."""

    stop: int
    start: int
    kind: str = ""
    is_direct: bool = False  # nothing unknown lies between
    zero_bytes: int = 0  # that lie between


def find_parts(file: BinaryIO) -> FileParts:
    """Usually one part, the whole file. Reads a file without stated sizes to its end. Restores the position to 0."""
    data = FileBytes(file)
    parts: list[Part] = []
    notes: list[str] = []
    at, kind = 0, identify_recording(data, 0) or classify(data.get(0, HEAD_BYTES))
    if not kind and (first := _find_directly(data, 0)) is not None and first.kind and first.zero_bytes:
        at, kind = first.start, first.kind
        notes.append(f"skipped {pluralize(first.zero_bytes, 'zero byte')} at the start")
    while (at < data.end or not parts) and len(parts) < MAX_PARTS:
        part, following, note = _read_part(data, at, kind)
        parts.append(part)
        notes += [note] if note else []
        at, kind = following.start, following.kind
    file.seek(0)
    return FileParts(tuple(parts), tuple(notes), is_whole=at >= data.end)


def open_part(file: BinaryIO, part: Part) -> BinaryIO:
    """The bytes of a part as a file of its own."""
    return cast("BinaryIO", io.BufferedReader(_FileSlice(file, part)))


def _read_part(data: FileBytes, at: int, kind: str) -> tuple[Part, _End, str]:
    """The recording at `at`, what comes behind it, and a warning, "" for none."""
    if kind in LAYOUT_KINDS:
        layout = find_sample_layout(data.file, at, data.end)
        if layout is not None:
            return _read_samples(data, at, layout)
    if kind == "mp4":
        return _read_mp4(data, at)
    return _read_units(data, at, kind)


# --- recordings of units that state their sizes -----------------------------------------------------


def _read_units(data: FileBytes, at: int, kind: str) -> tuple[Part, _End, str]:
    end = _find_end(data, at, kind)
    note = _describe_left_out(end)
    return Part(at, end.stop if end.is_direct or note else end.start, kind), end, note


def _describe_left_out(end: _End) -> str:
    """A warning about what lies between a recording and the next one; "" for tags and a little padding."""
    left_out = end.zero_bytes if end.is_direct else end.start - end.stop
    if left_out < MIN_REST_BYTES:
        return ""
    if end.is_direct:
        return f"{left_out:,} zero bytes behind byte {end.stop:,} were left out"
    return f"{left_out:,} bytes at byte {end.stop:,} are no audio of a known kind and were left out"


def _find_end(data: FileBytes, at: int, kind: str) -> _End:
    while tag_bytes := measure_id3(data.get(at, 10)):
        at += tag_bytes
    while True:
        extent = find_extent(data, at, kind)
        if extent is None:
            return _trim_zeros(data, at, _scan(data, at + 1, kind, data.end), kind)
        end = _look_behind(data, extent, max(extent.last, at + 1), kind)
        if end.kind != kind or end.is_direct or kind not in CONTINUING_KINDS:
            return end
        at = end.start  # damage in the middle


def _look_behind(data: FileBytes, extent: Extent, first: int, kind: str) -> _End:
    """What lies behind an extent: at its end, or where none is, anywhere from `first` on."""
    if extent.end == data.end:
        return _End(data.end, data.end, is_direct=True)
    if extent.end < data.end and (found := _find_directly(data, extent.end)) is not None:
        return found
    return _scan(data, first, kind, skip_tags(data, extent.end))


def _find_directly(data: FileBytes, at: int, *, is_sure: bool = False) -> _End | None:
    """What begins at the end of a recording, behind tags and zeros; None for something unknown.

    `is_sure`: the end is stated, not found; a signature alone is then a recording that was cut.
    """
    stop, behind, zeros = _skip_padding(data, at)
    if behind >= data.end:
        return _End(min(stop, data.end), data.end, is_direct=True, zero_bytes=zeros)
    for start in range(behind, max(0, behind - 4), -1):  # an MP4 begins with a size, odd samples with their last byte
        kind = identify_recording(data, start) or (_classify_damaged(data, start) if is_sure else "")
        if kind:
            return _End(min(stop, start), start, kind, is_direct=True, zero_bytes=min(zeros, start - at))
    return None


def _skip_padding(data: FileBytes, at: int) -> tuple[int, int, int]:
    """(the end of the tags at a recording's end, the first byte behind zeros and more tags, the number of zeros)."""
    stop, zeros = skip_tags(data, at), 0
    tags_end = stop
    while (behind := data.skip_zeros(tags_end)) > tags_end:
        zeros += behind - tags_end
        tags_end = skip_tags(data, behind)
    return stop, tags_end, zeros


def _classify_damaged(data: FileBytes, at: int) -> str:
    """The kind of a recording of which there is little more than its signature."""
    kind = classify(data.get(at, HEAD_BYTES))
    return "" if kind == "mp3" else kind  # two bytes may be samples


def _scan(data: FileBytes, at: int, kind: str, stop: int) -> _End:
    """The next recording from `at` on. `stop`: how far the one before it goes as far as is known."""
    start, next_kind = find_recording(data, at, with_frames=kind in KINDS_WITHOUT_FRAMES)
    is_unknown = stop < start and kind in (*FRAME_BYTES, "mp4", "avi", "asf", "tta", *RESYNC_MARKS)
    if not is_unknown or _contains(data, stop, start, RESYNC_MARKS.get(kind)):
        stop = start
    return _End(stop, start, next_kind)


def _trim_zeros(data: FileBytes, at: int, end: _End, kind: str) -> _End:
    """Without the zeros at the end of the file, of the recording at `at`, whose end is not stated."""
    stop = data.find_last_zeros()
    if kind not in TRIMMED_KINDS or end.kind or data.end - stop < MIN_REST_BYTES:
        return end
    stop = _find_amr_end(data, at, stop) if kind == "amr" else stop + MAX_LAST_ZEROS
    return _End(stop, data.end, is_direct=True, zero_bytes=data.end - stop)


def _find_amr_end(data: FileBytes, at: int, zeros_at: int) -> int:
    """Where the frame ends in which the zeros begin."""
    is_wide = data.get(at, 9) == b"#!AMR-WB\n"
    at += 9 if is_wide else 6
    measure = FRAME_BYTES["amr-wb" if is_wide else "amr"]
    while at < zeros_at:
        size = measure(data.get(at, 1))
        if not size:
            return zeros_at
        at += size
    return at


def _contains(data: FileBytes, at: int, end: int, mark: bytes | None) -> bool:
    while mark is not None and at < end:
        if mark in data.read(at, min(SEARCH_BYTES, end - at) + len(mark) - 1):
            return True
        at += SEARCH_BYTES
    return False


def _read_mp4(data: FileBytes, at: int) -> tuple[Part, _End, str]:
    boxes = list(iterate_boxes(data, at))
    patch = find_hidden_index(data, boxes)
    note = ""
    if patch is not None:
        wrong = (
            "header of the box mdat is damaged" if patch.content.endswith(b"mdat") else "size of the box mdat is wrong"
        )
        note = f"the {wrong} and hides the index (moov) behind it; the index was read all the same"
        data = FileBytes(open_part(data.file, Part(0, data.end, patch=patch)))
        boxes = list(iterate_boxes(data, at))
    extent = Extent(boxes[-1].start, boxes[-1].end) if boxes else Extent(at, at)
    known_end = extent.end
    if boxes and extent.end > data.end and boxes[-1].name not in (*MP4_BOXES, *NEXT_BOXES):
        known_end = extent.last  # samples that look like a box
    if known_end < data.end and (samples_end := _measure_indexed(data, at, boxes)) > known_end:
        extent = Extent(known_end, samples_end)
        note = "the header of the box mdat is damaged or its size wrong; its samples were found by the index (moov)"
    end = _look_behind(data, extent, max(extent.last, at + 1), "mp4")
    return Part(at, end.stop, "mp4", patch=patch), end, note or _describe_left_out(end)


def _measure_indexed(data: FileBytes, at: int, boxes: list[Box]) -> int:
    """Where the samples of the recording at `at` end by its index; its own start where there is none."""
    return at + max((measure_samples(data, box) for box in boxes if box.name == b"moov"), default=0)


# --- uncompressed samples, whose headers state sizes --------------------------------------------


def _read_samples(data: FileBytes, at: int, layout: SampleLayout) -> tuple[Part, _End, str]:
    kind = layout.kind
    if layout.end is None:
        is_compressed = holds_frames(data, layout.samples_at)
        end = _scan(data, layout.samples_at + 1, "" if is_compressed else kind, data.end)
        return Part(at, end.start, kind), end, ""
    if (found := _find_directly(data, layout.end, is_sure=True)) is not None:
        return Part(at, found.start, kind), found, ""
    behind = data.skip_zeros(layout.end)
    end = _scan(data, behind, kind, data.end)
    part, rest_bytes = Part(at, end.start, kind), end.start - layout.end
    if end.start - behind < MIN_REST_BYTES or is_tag(data.get(behind, 16)):
        return part, end, ""
    if not looks_like_samples(data.read(behind + (end.start - behind) // 3, SAMPLED_BYTES)):
        part = part._replace(end=layout.end)
        return part, end, f"{rest_bytes:,} bytes behind the samples are not audio and were left out"
    note = (
        f"the header states {layout.end - layout.samples_at:,} bytes of samples, and {rest_bytes:,} more lie behind "
        "them; all were decoded"
    )
    return part._replace(samples_at=layout.samples_at), end, note


class _FileSlice(io.RawIOBase):
    """The bytes of a part. The position of the file below is moved by reading."""

    def __init__(self, file: BinaryIO, part: Part) -> None:
        self._file, self._start, self._length, self._at = file, part.start, part.end - part.start, 0
        self._patch = part.patch or Patch(0, b"")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(0, offset + (0, self._at, self._length)[whence])
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # any writable buffer
        wanted = max(0, min(len(buffer), self._length - self._at))
        self._file.seek(self._start + self._at)
        piece = bytearray(self._file.read(wanted))
        for at, value in enumerate(self._patch.content, self._patch.at - self._start - self._at):
            if 0 <= at < len(piece):
                piece[at] = value
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)
