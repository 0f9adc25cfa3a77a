"""Pipecat's OpenAIRealtimeSTTService in a Pipecat pipeline against this server, with both ways to end an utterance."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import wave
from difflib import SequenceMatcher
from typing import Any

os.environ.setdefault("OPENAI_API_KEY", "none")

import openai
from pipecat.frames.frames import (
    ErrorFrame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.worker import PipelineParams
from pipecat.services.openai.stt import OpenAIRealtimeSTTService
from pipecat.tests.utils import SleepFrame, run_test

CHUNK_S = 0.1
MIN_SIMILARITY = 0.9  # an utterance split at a pause may be punctuated differently
MAX_RESPONSE_S = 20.0  # generous: the machine may be busy


def split_words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


async def transcribe(url: str, clip: str, turn_detection: Any) -> tuple[str, int]:
    """Returns the final text and the number of interim texts."""
    with wave.open(clip) as file:
        rate, audio = file.getframerate(), file.readframes(file.getnframes())
    step = 2 * round(rate * CHUNK_S)
    audio += bytes(2 * rate)  # a second of silence ends the last utterance
    service = OpenAIRealtimeSTTService(
        api_key="none",
        base_url=f"{url.replace('http', 'ws', 1)}/v1/realtime",
        sample_rate=rate,
        turn_detection=turn_detection,
        should_interrupt=False,
        settings=OpenAIRealtimeSTTService.Settings(model="whisper-1"),
    )
    frames: list[Any] = [SleepFrame(sleep=1.0), VADUserStartedSpeakingFrame()]
    for at in range(0, len(audio), step):
        frames += [
            InputAudioRawFrame(audio=audio[at : at + step], sample_rate=rate, num_channels=1),
            SleepFrame(sleep=CHUNK_S),
        ]
    frames += [VADUserStoppedSpeakingFrame(), SleepFrame(sleep=MAX_RESPONSE_S)]
    down, up = await run_test(
        service, frames_to_send=frames, pipeline_params=PipelineParams(audio_in_sample_rate=rate), start_timeout=60.0
    )
    errors = [frame.error for frame in (*down, *up) if isinstance(frame, ErrorFrame)]
    assert not errors, errors
    texts = [frame.text for frame in down if isinstance(frame, TranscriptionFrame)]
    assert texts, "no TranscriptionFrame received"
    return " ".join(texts), sum(isinstance(frame, InterimTranscriptionFrame) for frame in down)


def main(url: str, clip: str) -> None:
    with openai.OpenAI(base_url=f"{url}/v1") as client, open(clip, "rb") as file:  # noqa: PTH123  # a file, as users have it
        expected = client.audio.transcriptions.create(file=file, model="whisper-1").text
    server_vad = {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 700}
    for name, turn_detection in {
        "Pipecat's detector": False,
        "the server's": None,
        "the server's, configured": server_vad,
    }.items():
        text, n_interim = asyncio.run(transcribe(url, clip, turn_detection))
        similarity = SequenceMatcher(a=split_words(text), b=split_words(expected)).ratio()
        print(f"Pipecat in realtime, {name}: {text} ({n_interim} interim)")
        assert similarity >= MIN_SIMILARITY, f"similarity {similarity:.2f} to: {expected}"


if __name__ == "__main__":
    main(*sys.argv[1:])
