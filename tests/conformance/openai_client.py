"""The newest official openai client, sync, async and streaming, with real speech."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import openai
from openai.types.audio import (
    Transcription,
    TranscriptionStreamEvent,
    TranscriptionTextDoneEvent,
    TranscriptionVerbose,
)
from pydantic import TypeAdapter


def check_types(answer: Transcription | TranscriptionVerbose) -> None:
    """Validate a response: the client itself builds its types without validation."""
    type(answer).model_validate(answer.to_dict())


def transcribe(url: str, clip: Path) -> str:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none") as client:
        plain = client.audio.transcriptions.create(file=clip, model="whisper-1", include=["logprobs"])
        assert isinstance(plain, Transcription)
        assert plain.logprobs
        check_types(plain)
        verbose = client.audio.transcriptions.create(
            file=clip,
            model="whisper-1",
            response_format="verbose_json",
            timestamp_granularities=["word", "segment"],
            chunking_strategy={"type": "server_vad", "threshold": 0.5},
            keywords=["Philip"],
            language="en",
            languages=["en"],
            temperature=0,
        )
        assert isinstance(verbose, TranscriptionVerbose)
        assert verbose.words
        assert verbose.segments
        assert all(0 <= word.start <= word.end <= verbose.duration + 0.05 for word in verbose.words)
        check_types(verbose)
        events = list(client.audio.transcriptions.create(file=clip, model="whisper-1", stream=True))
        for event in events:
            TypeAdapter[object](TranscriptionStreamEvent).validate_python(event.to_dict())
        done = events[-1]
        assert isinstance(done, TranscriptionTextDoneEvent)
        assert done.text == plain.text == "".join(e.delta for e in events if e.type == "transcript.text.delta")
        for response_format in ("text", "srt", "vtt"):
            text = client.audio.transcriptions.create(file=clip, model="whisper-1", response_format=response_format)
            assert plain.text.split()[-1] in str(text)
        refused_param = None
        try:
            client.audio.transcriptions.create(file=clip, model="whisper-1", known_speaker_names=["agent"])
        except openai.BadRequestError as error:
            refused_param = error.param
        assert refused_param == "known_speaker_names", "an unsupported field was accepted"
        return plain.text


async def atranscribe(url: str, clip: Path) -> str:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as client:
        stream = await client.audio.transcriptions.create(file=clip, model="whisper-1", stream=True)
        return "".join([event.delta async for event in stream if event.type == "transcript.text.delta"])


def main(url: str, clip: str) -> None:
    text = transcribe(url, Path(clip))
    assert asyncio.run(atranscribe(url, Path(clip))) == text
    print(f"openai {openai.__version__}: {text}")


if __name__ == "__main__":
    main(*sys.argv[1:])
