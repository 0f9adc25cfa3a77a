"""Latency of live transcription: clips sent at the speed of speech over WebSockets to a running server.

`python -m benchmarks.load.realtime --url http://127.0.0.1:8000 --sessions 8 SPEECH...`

For each clip: the time from its first speech to the first text; from the end of an utterance's audio to its final text
(the silence that ends it is not counted); and the word error rate of all final texts against the text that the same
server returns for the file. Sessions begin at different moments, as users do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import numpy as np

from benchmarks.process.requests import transcribe_file
from neuron_whisper.audio.clip import SAMPLE_RATE, AudioClip
from neuron_whisper.audio.load import load_audio
from neuron_whisper.audio.speech import detect_speech_spans
from neuron_whisper.audio.vad_options import VadOptions
from neuron_whisper.bench.accuracy.metrics import count_word_errors, percentile, sum_counts

CHUNK_S = 0.1
RESPONSE_TIMEOUT_S = 300.0
UNPADDED_VAD = VadOptions(speech_pad_ms=0, min_speech_duration_ms=100)


@dataclass(slots=True, kw_only=True)
class StreamResult:
    """One clip over one WebSocket; latencies in seconds, None where no such event came."""

    clip: str
    audio_s: float
    first_partial_s: float | None = None
    first_stable_s: float | None = None
    finals_s: list[float] = field(default_factory=list)
    last_final_s: float | None = None
    partials: int = 0
    text: str = ""


async def stream_clip(url: str, name: str, clip: AudioClip, query: dict[str, str]) -> StreamResult:
    """Send the clip at the speed of speech and record the events' times. Raises OSError, TimeoutError."""
    from websockets.asyncio.client import connect

    spans = detect_speech_spans(clip, UNPADDED_VAD)
    onset_s = spans[0].start_s if spans else 0.0
    result = StreamResult(clip=name, audio_s=round(clip.duration_s, 2))
    address = f"{url.replace('http', 'ws', 1)}/v1/audio/stream?{urlencode({'sample_rate': SAMPLE_RATE, **query})}"
    data = np.clip(np.rint(clip.samples * 32768), -32768, 32767).astype("<i2").tobytes()
    async with connect(address, max_size=None) as socket:
        json.loads(await socket.recv())
        started = time.perf_counter()
        sent_at = started

        async def send_speech() -> None:
            nonlocal sent_at
            chunk = int(CHUNK_S * SAMPLE_RATE) * 2
            for n, start in enumerate(range(0, len(data), chunk)):
                # a chunk exists when its last sample was spoken
                await asyncio.sleep(max(0.0, started + (n + 1) * CHUNK_S - time.perf_counter()))
                await socket.send(data[start : start + chunk])
            sent_at = time.perf_counter()
            await socket.send('{"type": "close"}')

        sending = asyncio.create_task(send_speech())
        try:
            async with asyncio.timeout(clip.duration_s + RESPONSE_TIMEOUT_S):
                async for message in socket:
                    _record_event(result, json.loads(message), time.perf_counter(), started, onset_s)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        if result.last_final_s is not None:
            result.last_final_s = round(started + result.last_final_s - sent_at, 3)
    return result


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


async def _stream_all(
    url: str, clips: dict[Path, AudioClip], sessions: int, query: dict[str, str]
) -> list[StreamResult]:
    """Stream every clip, on `sessions` sockets at once; each socket takes the next clip when its last is done."""
    waiting = list(clips.items())
    results: list[StreamResult] = []

    async def one(n: int) -> None:
        await asyncio.sleep(n * 0.37)
        while waiting:
            path, clip = waiting.pop(0)
            results.append(await stream_clip(url, path.name, clip, query))

    await asyncio.gather(*(one(n) for n in range(sessions)))
    return results


def _summarize(values: Sequence[float | None]) -> dict[str, float | int]:
    known = [value for value in values if value is not None]
    if not known:
        return {"n": 0}
    return {"n": len(known), "p50": round(percentile(known, 50), 3), "p95": round(percentile(known, 95), 3)}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speech", type=Path, nargs="+", metavar="SPEECH", help="recordings")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="of a running server")
    parser.add_argument("--sessions", type=int, default=1, help="WebSockets at once")
    parser.add_argument("--language", default="en", help="of all recordings")
    parser.add_argument("--no-vad", action="store_true", help="one utterance per clip, ended by closing the socket")
    parser.add_argument("--json", action="store_true", help="print every clip's result as JSON")
    args = parser.parse_args(arguments)
    clips = {path: load_audio(path) for path in args.speech}
    query = {"language": args.language, "vad": "false" if args.no_vad else "true"}
    results = asyncio.run(_stream_all(args.url, clips, args.sessions, query))
    files = {path.name: transcribe_file(args.url, path, {"language": args.language}) for path in clips}
    errors = sum_counts(count_word_errors(files[it.clip], it.text, args.language) for it in results)
    report = {
        "sessions": args.sessions,
        "clips": len(results),
        "audio_s": round(sum(it.audio_s for it in results), 1),
        "first_partial_s": _summarize([it.first_partial_s for it in results]),
        "first_stable_s": _summarize([it.first_stable_s for it in results]),
        "final_s": _summarize([value for it in results for value in it.finals_s]),
        "last_final_s": _summarize([it.last_final_s for it in results]),
        "wer_to_file_percent": None if errors.rate is None else round(100 * errors.rate, 2),
        "words": errors.reference,
    }
    details = [{**asdict(it), "file_text": files[it.clip]} for it in results]
    if args.json:
        report["details"] = details
    else:
        for it in results:
            sys.stdout.write(
                f"{it.clip}: {it.audio_s:.1f} s, first partial {it.first_partial_s} s, first stable "
                f"{it.first_stable_s} s, last final {it.last_final_s} s, {it.partials} partials\n"
            )
    sys.stdout.write(json.dumps(report, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
