"""SkippedBytes: what lies between packets that do not follow each other."""

from __future__ import annotations

import io

from neuron_whisper.audio.container.skipped_bytes import SkippedBytes, is_adts

TAG = b"ID3\4\0\0\0\0\0\x0a" + bytes(10)


def test_bytes_between_packets_are_counted_and_tags_are_not() -> None:
    file = io.BytesIO(bytes(100) + TAG + bytes(200))
    skipped = SkippedBytes(file)
    file.seek(7)
    assert [skipped.measure(at, 10) for at in (0, 10, 50, 60)] == [0, 0, 30, 0]
    assert skipped.measure(90, 10) == 20
    assert skipped.measure(120, 10) == 0  # the tag
    assert skipped.measure(None, 10) == 0
    assert skipped.measure(200, 10) == 0
    assert file.tell() == 7


def test_a_stream_of_aac_frames_is_known_behind_a_tag() -> None:
    frame = bytes.fromhex("fff150800d7ffc") + bytes(100)
    assert is_adts(frame)
    assert is_adts(TAG + frame)
    assert not is_adts(bytes.fromhex("fffb9000") + bytes(100))
    assert not is_adts(b"")
