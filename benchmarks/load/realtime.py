"""What somebody waits who speaks: clips at the speed of speech over sockets, to a server that runs.

`python -m benchmarks.load.realtime --url http://127.0.0.1:8000 --sessions 8 ../shared/speech/en_LJ001-000*`

Of each clip: when the first text of it comes, counted from when its first speech was sent; when a final text comes,
counted from when the last of its audio was (the silence that ends it is not counted); the word error rate of all
finals against the text that the same server gives of the file. Sessions begin at different moments, as people do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
import urllib.request
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import numpy as np

from neuron_whisper.audio.clip import SAMPLE_RATE, AudioClip
from neuron_whisper.audio.load import load_audio
from neuron_whisper.audio.speech import VadOptions, detect_speech_spans
from neuron_whisper.bench.accuracy.metrics import count_word_errors, percentile, sum_counts

CHUNK_S = 0.1
RESPONSE_TIMEOUT_S = 300.0
UNPADDED_VAD = VadOptions(speech_pad_ms=0, min_speech_duration_ms=100)


@dataclass(slots=True, kw_only=True)
class StreamResult:
    """One clip over one socket; latencies in seconds, None where nothing came."""

    clip: str
    audio_s: float
    first_partial_s: float | None = None
    first_stable_s: float | None = None
    finals_s: list[float] = field(default_factory=list)
    last_final_s: float | None = None
    partials: int = 0
    text: str = ""


async def stream_clip(url: str, name: str, clip: AudioClip, query: dict[str, str]) -> StreamResult:
    """Stream the clip at the speed of speech and note when what comes. Raises OSError, TimeoutError."""
    from websockets.asyncio.client import connect

    spans = detect_speech_spans(clip, UNPADDED_VAD)
    onset_s = spans[0].start_s if spans else 0.0
    heard = StreamResult(clip=name, audio_s=round(clip.duration_s, 2))
    address = f"{url.replace('http', 'ws', 1)}/v1/audio/stream?{urlencode({'sample_rate': SAMPLE_RATE, **query})}"
    data = np.clip(np.rint(clip.samples * 32768), -32768, 32767).astype("<i2").tobytes()
    async with connect(address, max_size=None) as socket:
        json.loads(await socket.recv())
        started = time.perf_counter()
        sent_at = started

        async def speak() -> None:
            nonlocal sent_at
            piece = int(CHUNK_S * SAMPLE_RATE) * 2
            for n, start in enumerate(range(0, len(data), piece)):
                # a piece exists when its last sample was spoken
                await asyncio.sleep(max(0.0, started + (n + 1) * CHUNK_S - time.perf_counter()))
                await socket.send(data[start : start + piece])
            sent_at = time.perf_counter()
            await socket.send('{"type": "close"}')

        speaking = asyncio.create_task(speak())
        try:
            async with asyncio.timeout(clip.duration_s + RESPONSE_TIMEOUT_S):
                async for message in socket:
                    _record_event(heard, json.loads(message), time.perf_counter(), started, onset_s)
        finally:
            speaking.cancel()
            await asyncio.gather(speaking, return_exceptions=True)
        if heard.last_final_s is not None:
            heard.last_final_s = round(started + heard.last_final_s - sent_at, 3)
    return heard


def _record_event(result: StreamResult, event: dict[str, object], now: float, started: float, onset_s: float) -> None:
    since_s = now - started
    match event["type"]:
        case "partial":
            result.partials += 1
            stable = str(event["stable"])
            if result.first_partial_s is None and (stable or event["unstable"]):
                result.first_partial_s = round(since_s - onset_s, 3)
            if result.first_stable_s is None and stable:
                result.first_stable_s = round(since_s - onset_s, 3)
        case "final":
            result.finals_s.append(round(since_s - float(str(event["end"])), 3))
            result.last_final_s = since_s
            result.text = f"{result.text} {event['text']}".strip()
        case "error" | "failed":
            raise OSError(f"{result.clip}: {event}")


def transcribe_file(url: str, path: Path, language: str) -> str:
    """What the server says of the file."""
    boundary = uuid.uuid4().hex
    parts = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in (("language", language), ("response_format", "json"))
    )
    head = f'{parts}--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{path.name}"\r\n\r\n'
    body = head.encode() + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    request = urllib.request.Request(
        f"{url}/v1/audio/transcriptions", body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    )
    with urllib.request.urlopen(request, timeout=RESPONSE_TIMEOUT_S) as answer:
        return str(json.load(answer)["text"])


async def _stream_all(
    url: str, clips: dict[Path, AudioClip], sessions: int, query: dict[str, str]
) -> list[StreamResult]:
    """Every clip, so many sockets at once; each socket's next clip follows its last."""
    waiting = list(clips.items())
    found: list[StreamResult] = []

    async def one(n: int) -> None:
        await asyncio.sleep(n * 0.37)
        while waiting:
            path, clip = waiting.pop(0)
            found.append(await stream_clip(url, path.name, clip, query))

    await asyncio.gather(*(one(n) for n in range(sessions)))
    return found


def _summarize(values: Sequence[float | None]) -> dict[str, float | int]:
    known = [value for value in values if value is not None]
    if not known:
        return {"n": 0}
    return {"n": len(known), "p50": round(percentile(known, 50), 3), "p95": round(percentile(known, 95), 3)}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speech", type=Path, nargs="+")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--sessions", type=int, default=1, help="sockets at once")
    parser.add_argument("--language", default="en")
    parser.add_argument("--no-vad", action="store_true", help="one utterance a clip, ended by the close")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    clips = {path: load_audio(path) for path in given.speech}
    query = {"language": given.language, "vad": "false" if given.no_vad else "true"}
    heard = asyncio.run(_stream_all(given.url, clips, given.sessions, query))
    files = {path.name: transcribe_file(given.url, path, given.language) for path in clips}
    errors = sum_counts(count_word_errors(files[it.clip], it.text, given.language) for it in heard)
    report = {
        "sessions": given.sessions,
        "clips": len(heard),
        "audio_s": round(sum(it.audio_s for it in heard), 1),
        "first_partial_s": _summarize([it.first_partial_s for it in heard]),
        "first_stable_s": _summarize([it.first_stable_s for it in heard]),
        "final_s": _summarize([value for it in heard for value in it.finals_s]),
        "last_final_s": _summarize([it.last_final_s for it in heard]),
        "wer_to_file_percent": None if errors.rate is None else round(100 * errors.rate, 2),
        "words": errors.reference,
    }
    details = [{**asdict(it), "file_text": files[it.clip]} for it in heard]
    if given.json:
        report["details"] = details
    else:
        for it in heard:
            sys.stdout.write(
                f"{it.clip}: {it.audio_s:.1f} s, first partial {it.first_partial_s} s, first stable "
                f"{it.first_stable_s} s, last final {it.last_final_s} s, {it.partials} partials\n"
            )
    sys.stdout.write(json.dumps(report, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
