"""Pipecat's OpenAISTTService in a Pipecat pipeline against this server."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import wave
from difflib import SequenceMatcher

os.environ.setdefault("OPENAI_API_KEY", "none")

import openai
from pipecat.frames.frames import (
    ErrorFrame,
    InputAudioRawFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.worker import PipelineParams
from pipecat.services.openai.stt import OpenAISTTService
from pipecat.tests.utils import run_test

PROMPT = "A novel."
CHUNK_S = 0.02  # of audio, as transports deliver it
MIN_SIMILARITY = 0.8  # the service adds silence, and one word of a short clip may differ


def split_words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


async def transcribe(url: str, clip: str, model: str, *, with_probabilities: bool) -> str:
    with wave.open(clip) as file:
        rate, audio = file.getframerate(), file.readframes(file.getnframes())
    step = 2 * round(rate * CHUNK_S)
    service = OpenAISTTService(
        api_key="none",
        base_url=f"{url}/v1",
        sample_rate=rate,
        include_prob_metrics=with_probabilities,
        settings=OpenAISTTService.Settings(model=model, prompt=PROMPT, temperature=0.0),
    )
    pieces = [
        InputAudioRawFrame(audio=audio[at : at + step], sample_rate=rate, num_channels=1)
        for at in range(0, len(audio), step)
    ]
    down, up = await run_test(
        service,
        frames_to_send=[VADUserStartedSpeakingFrame(), *pieces, VADUserStoppedSpeakingFrame()],
        pipeline_params=PipelineParams(audio_in_sample_rate=rate),
        start_timeout=60.0,
    )
    errors = [frame.error for frame in (*down, *up) if isinstance(frame, ErrorFrame)]
    assert not errors, errors
    final = [frame for frame in down if isinstance(frame, TranscriptionFrame)]
    assert len(final) == 1, final
    assert final[0].finalized
    return str(final[0].text)


def main(url: str, clip: str) -> None:
    with openai.OpenAI(base_url=f"{url}/v1") as client, open(clip, "rb") as file:  # noqa: PTH123  # a file, as users have it
        expected = client.audio.transcriptions.create(
            file=file, model="whisper-1", prompt=PROMPT, language="en", temperature=0.0
        ).text
    for model, with_probabilities in (("gpt-transcribe", False), ("gpt-transcribe", True), ("whisper-1", True)):
        text = asyncio.run(transcribe(url, clip, model, with_probabilities=with_probabilities))
        similarity = SequenceMatcher(a=split_words(text), b=split_words(expected)).ratio()
        print(f"Pipecat, {model}{', probabilities' if with_probabilities else ''}: {text}")
        assert similarity >= MIN_SIMILARITY, f"similarity {similarity:.2f} to: {expected}"


if __name__ == "__main__":
    main(*sys.argv[1:])
