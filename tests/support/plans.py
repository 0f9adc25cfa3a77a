"""Plans of long clips run on a scripted decoder: what is decoded is a function of the window."""

from __future__ import annotations

import zlib
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import numpy as np

from neuron_whisper.audio.clip import AudioClip
from neuron_whisper.audio.mel import LogMel
from neuron_whisper.audio.speech import SpeechSpan
from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.decode.window import DecodingResult, WindowRequest
from neuron_whisper.longform import Plan, TranscriptSummary
from neuron_whisper.longform.clip_context import ClipContext
from neuron_whisper.longform.drivers import run_plan
from neuron_whisper.longform.speech_map import SpeechMap
from neuron_whisper.text.special_tokens import SpecialTokens
from neuron_whisper.text.tokenizer import BYTE_TO_UNICODE, Tokenizer
from neuron_whisper.transcript import Segment, SkippedRegion

SPECIAL = SpecialTokens.from_layout(eot=256, n_languages=5, blank=ord(" "), is_multilingual=True)
TOKENIZER = Tokenizer({BYTE_TO_UNICODE[byte]: byte for byte in range(256)}, [], SPECIAL)
BEGIN = SPECIAL.timestamp_begin
RATE = 16_000


def make_clip(seconds: float) -> AudioClip:
    """A swell, so that every window's spectrogram is another."""
    t = np.arange(int(seconds * RATE)) / RATE
    return AudioClip(samples=(np.sin(2 * np.pi * (200 + 20 * t) * t) * 0.1).astype(np.float32))


def timestamp_at(frames: float) -> int:
    """The timestamp token of so many mel frames."""
    return BEGIN + round(frames / 2)


class ScriptedDecoder:
    """Decodes a window to the tokens that `script` returns for it, and to a name of its own without a script."""

    def __init__(self, script: object = None, **fields: object) -> None:
        self._script, self._fields = script, fields
        self.requests: list[WindowRequest] = []
        self.is_first: list[bool] = []

    def __call__(self, request: WindowRequest, *, is_first: bool) -> Future[DecodingResult]:
        self.requests.append(request)
        self.is_first.append(is_first)
        done: Future[DecodingResult] = Future()
        name = f" w{zlib.crc32(request.mel.tobytes()) % 1000}"
        tokens = (
            self._script(request)
            if callable(self._script)
            else [timestamp_at(0), *name.encode(), timestamp_at(request.frames)]
        )
        found: dict[str, object] = {
            "tokens": tuple(tokens),
            "text": TOKENIZER.decode(tokens),
            "avg_logprob": -0.2,
            "no_speech_prob": 0.1,
            "compression_ratio": 1.0,
            "temperature": 0.0,
            "language": request.options.language or "de",
            "language_probs": {} if request.options.language else {"de": 0.9, "en": 0.1},
            "token_logprobs": tuple(-0.1 for _ in tokens),
        }
        done.set_result(DecodingResult(**{**found, **self._fields}))  # type: ignore[arg-type]
        return done


def make_clip_context(seconds: float, speech_map: SpeechMap | None = None, **options: Any) -> ClipContext:
    mel = LogMel.from_samples(make_clip(seconds).samples, 80)
    return ClipContext(mel=mel, options=TranscribeOptions(**options), tokenizer=TOKENIZER, speech_map=speech_map)


def make_speech_map(*times: tuple[float, float]) -> SpeechMap:
    return SpeechMap(
        [SpeechSpan(start_sample=int(a * RATE), end_sample=int(b * RATE)) for a, b in times], padding_s=0.0
    )


def make_pauseless_map(*times: tuple[float, float]) -> SpeechMap:
    """Speech of which it is known that it holds no pauses, so that speech without text is noticed."""
    speech_map = make_speech_map(*times)
    return replace(speech_map, unpadded_spans=speech_map.spans, pauseless_spans=speech_map.spans)


def run_to_end(
    plan: Plan, decoder: ScriptedDecoder | None = None
) -> tuple[list[Segment], list[SkippedRegion], TranscriptSummary]:
    *events, summary = run_plan(plan, decoder or ScriptedDecoder())
    assert isinstance(summary, TranscriptSummary)
    return (
        [item for item in events if isinstance(item, Segment)],
        [item for item in events if isinstance(item, SkippedRegion)],
        summary,
    )


def two_segments(request: WindowRequest) -> list[int]:
    """A script: two segments and a remainder, which needs a window of its own, if the window is long."""
    name = f" {request.mel[:, :5].sum():.3f}".encode()
    middle = request.frames // 4 * 2
    return (
        [timestamp_at(0), *name, timestamp_at(middle), timestamp_at(middle), *name]
        if request.frames > 600
        else [timestamp_at(0), *name, timestamp_at(request.frames)]
    )
