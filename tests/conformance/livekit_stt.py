"""LiveKit's OpenAI plugin: whole utterances over HTTP, and a stream over the realtime socket.

`python -m tests.conformance.livekit_stt URL CLIP`, in an environment of its own.
"""

from __future__ import annotations

import asyncio
import re
import sys
import wave
from collections.abc import Iterator
from difflib import SequenceMatcher

from livekit import rtc
from livekit.agents import stt, utils
from livekit.plugins import openai

PIECE_S = 0.05
SILENCE_S = 1.5  # behind the clip: server_vad ends the turn in it
TIMEOUT_S = 60.0
MIN_SIMILARITY = 0.8  # a stream is decoded turn by turn: a word of a short clip may differ


def read_frames(clip: str) -> Iterator[rtc.AudioFrame]:
    with wave.open(clip) as file:
        rate, audio = file.getframerate(), file.readframes(file.getnframes())
    audio += bytes(2 * round(rate * SILENCE_S))
    step = 2 * round(rate * PIECE_S)
    for at in range(0, len(audio) - step + 1, step):
        yield rtc.AudioFrame(audio[at : at + step], rate, 1, step // 2)


def split_words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


async def transcribe(url: str, clip: str, model: str) -> str:
    service = openai.STT(model=model, base_url=f"{url}/v1", api_key="none", language="en", use_realtime=False)
    event = await service.recognize(list(read_frames(clip)))
    assert event.type == stt.SpeechEventType.FINAL_TRANSCRIPT
    (found,) = event.alternatives
    assert found.language.startswith("en"), found.language
    return str(found.text)


async def transcribe_realtime(url: str, clip: str, model: str) -> str:
    service = openai.STT(model=model, base_url=f"{url}/v1", api_key="none", language="en", use_realtime=True)
    texts: list[str] = []
    async with asyncio.timeout(TIMEOUT_S), service.stream() as stream:

        async def speak() -> None:
            for frame in read_frames(clip):
                stream.push_frame(frame)
                await asyncio.sleep(PIECE_S / 2)

        speaking = asyncio.create_task(speak())
        async for event in stream:
            if event.type == stt.SpeechEventType.FINAL_TRANSCRIPT:
                texts.append(event.alternatives[0].text)
                if speaking.done():
                    break
        await speaking
    return " ".join(texts)


async def run(url: str, clip: str) -> None:
    async with utils.http_context.open():  # outside a LiveKit job nothing else opens it
        texts = [await transcribe(url, clip, model) for model in ("whisper-1", "gpt-4o-mini-transcribe")]
        texts.append(await transcribe_realtime(url, clip, "gpt-4o-mini-transcribe"))
    for text in texts:
        print(f"LiveKit: {text}")
        similarity = SequenceMatcher(a=split_words(text), b=split_words(texts[0])).ratio()
        assert similarity >= MIN_SIMILARITY, f"{similarity:.2f}: {text!r} and {texts[0]!r}"


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:]))
