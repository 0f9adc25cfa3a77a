"""Audio files of every kind for tests, made of tones."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

Samples = NDArray[np.float32]


def tone(seconds: float, rate: int, channels: int = 1, hz: float = 440.0) -> Samples:
    """(n, channels), amplitude 0.5."""
    wave = 0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


def encode_with_soundfile(samples: Samples, rate: int, kind: str, subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def keep_time(seconds: float) -> float | None:
    return seconds


def encode_with_av(
    container: str,
    codec: str,
    samples: Samples,
    rate: int,
    video: str = "",
    *,
    place: Callable[[float], float | None] = keep_time,
    options: dict[str, str] | None = None,
) -> bytes:
    """`place`: the timestamp of an audio packet, in seconds, from its own; None drops it."""
    layout = "mono" if samples.shape[1] == 1 else "stereo"
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=options) as output:
        pictures = output.add_stream(video, rate=5) if video else None
        sound = output.add_stream(codec, rate=rate, layout=layout) if codec else None
        if isinstance(pictures, av.VideoStream):
            pictures.width, pictures.height, pictures.pix_fmt = 64, 64, "yuv420p"
            for number in range(5):
                picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
                picture.pts, picture.time_base = number, Fraction(1, 5)
                output.mux(pictures.encode(picture))
            output.mux(pictures.encode(None))
        if isinstance(sound, av.AudioStream):
            context = sound.codec_context
            if codec.startswith("wma"):
                context.bit_rate = 96_000
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="fltp", layout=layout)
            frame.sample_rate, frame.pts = rate, 0
            fitter = av.AudioResampler(context.format, layout, rate, frame_size=context.frame_size or 1024)
            for piece in fitter.resample(frame) + fitter.resample(None):
                output.mux(_place_packets(sound.encode(piece), place))
            output.mux(_place_packets(sound.encode(None), place))
    return file.getvalue()


def encode_two_tracks(first: str = "ger", second: str = "eng", *, hz: tuple[float, float] = (440.0, 880.0)) -> bytes:
    """A Matroska file of two tracks of a second each, tagged with these languages."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as output:
        streams = [output.add_stream("pcm_s16le", rate=16000, layout="mono") for _ in hz]
        for stream, language in zip(streams, (first, second), strict=True):
            stream.metadata["language"] = language
        for stream, pitch in zip(streams, hz, strict=True):
            assert isinstance(stream, av.AudioStream)
            values = (tone(1.0, 16000, hz=pitch).T * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(values, format="s16", layout="mono")
            frame.sample_rate, frame.pts = 16000, 0
            output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
    return file.getvalue()


def _place_packets(packets: list[av.Packet[Any]], place: Callable[[float], float | None]) -> list[av.Packet[Any]]:
    placed = []
    for packet in packets:
        assert packet.pts is not None
        assert packet.time_base is not None
        if (start_s := place(float(packet.pts * packet.time_base))) is not None:
            packet.pts = packet.dts = round(start_s / packet.time_base)
            placed.append(packet)
    return placed


def find_sound_s(samples: Samples) -> list[tuple[float, float]]:
    """The spans in which there is sound, in tenths of a second."""
    loud = [np.abs(samples[at : at + 1600]).max() > 0.05 for at in range(0, len(samples), 1600)]
    edges = np.flatnonzero(np.diff([False, *loud, False]))
    return [(float(start) / 10, float(end) / 10) for start, end in edges.reshape(-1, 2)]


def pitch_hz(samples: Samples) -> float:
    return float(np.abs(np.fft.rfft(samples)).argmax() * 16000 / len(samples))
