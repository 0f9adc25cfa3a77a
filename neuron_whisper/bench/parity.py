"""Parity with openai-whisper as numbers: WER and identical token sequences per profile, and rough speed against peers.

`python -m neuron_whisper.bench.parity --speech ../shared/speech --model base`: every system transcribes the same
clips greedily, one after another, in this one run.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from neuron_whisper import __version__
from neuron_whisper.artifact.cache_directory import default_cache_directory
from neuron_whisper.artifact.store import ArtifactStore
from neuron_whisper.audio.clip import AudioClip
from neuron_whisper.audio.load import load_audio
from neuron_whisper.build import build, plan_build
from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.model.checkpoint import Checkpoint, open_checkpoint
from neuron_whisper.model.sources import resolve_model
from neuron_whisper.profile import load_profile
from neuron_whisper.transcriber import Transcriber

OPENAI = "openai-whisper float32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """A clip and what is said in it."""

    name: str
    clip: AudioClip
    reference: str


@dataclass(slots=True)
class Result:
    """What one system said to each clip, and the seconds it took in all."""

    texts: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, list[int]] = field(default_factory=dict)
    took_s: float = 0.0


Answer = tuple[str, list[int]]


def speech(directory: Path, language: str) -> list[Spoken]:
    """The real recordings of one speaker in one language that have a transcript, by manifest.tsv."""
    with (directory / "manifest.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [
        Spoken(name=row["file"], clip=load_audio(directory / row["file"]), reference=row["transcript"])
        for row in rows
        if row["kind"] == "real" and row["lang"] == language and row["transcript"] and "stereo" not in row["file"]
    ]


def run(clips: Sequence[Spoken], transcribe: Callable[[AudioClip], Answer]) -> Result:
    """Every clip through one system, after a first one that is not counted."""
    transcribe(clips[0].clip)
    result = Result()
    for spoken in clips:
        started = time.perf_counter()
        result.texts[spoken.name], result.tokens[spoken.name] = transcribe(spoken.clip)
        result.took_s += time.perf_counter() - started
    return result


def ours(
    checkpoint: Checkpoint, model: str, profile: str, language: str, clips: Sequence[Spoken]
) -> tuple[str, Result]:
    """(artifact key, result) of one of our profiles."""
    store = ArtifactStore(default_cache_directory())
    artifact = build(store, plan_build(model, checkpoint, load_profile(profile)))
    transcriber = Transcriber.open(store, artifact)
    options = TranscribeOptions(language=language)

    def transcribe(clip: AudioClip) -> Answer:
        transcript = transcriber.transcribe(clip, options)
        return transcript.text, [token for segment in transcript.segments for token in segment.tokens]

    try:
        return artifact.key, run(clips, transcribe)
    finally:
        transcriber.close()


def openai(checkpoint: Checkpoint, language: str, clips: Sequence[Spoken]) -> Result:
    """openai-whisper in float32 on the same weights."""
    import torch
    import whisper
    from whisper.model import ModelDimensions, Whisper

    model = Whisper(ModelDimensions(**{name: getattr(checkpoint.dims, name) for name in checkpoint.dims.__slots__}))
    weights = {name: torch.from_numpy(np.array(checkpoint.tensor(name), np.float32)) for name in checkpoint.names}
    missing, surplus = model.load_state_dict(weights, strict=False)
    assert not surplus, surplus
    assert all("mask" in name for name in missing), missing
    model.eval()

    def transcribe(clip: AudioClip) -> Answer:
        answer = whisper.transcribe(model, clip.samples, temperature=0.0, language=language, fp16=False)
        tokens = [token for segment in answer["segments"] for token in segment["tokens"]]
        return str(answer["text"]).strip(), tokens

    return run(clips, transcribe)


def faster_whisper(path: Path, compute_type: str, language: str, clips: Sequence[Spoken]) -> Result:
    """faster-whisper, greedy, on a CTranslate2 directory of the same weights."""
    from faster_whisper import WhisperModel

    with tempfile.TemporaryDirectory() as scratch:
        model = WhisperModel(_joined(path, Path(scratch)), device="cpu", compute_type=compute_type)

        def transcribe(clip: AudioClip) -> Answer:
            segments, _ = model.transcribe(clip.samples, language=language, beam_size=1, temperature=0.0)
            found = list(segments)
            return "".join(segment.text for segment in found).strip(), [t for s in found for t in s.tokens]

        return run(clips, transcribe)


def _joined(path: Path, scratch: Path) -> str:
    """CTranslate2 wants model.bin in one piece."""
    if (path / "model.bin").exists():
        return str(path)
    for file in path.iterdir():
        if not file.name.startswith("model.bin"):
            (scratch / file.name).symlink_to(file)
    with (scratch / "model.bin").open("wb") as joined:
        for part in sorted(path.glob("model.bin.part*")):
            joined.write(part.read_bytes())
    return str(scratch)


def word_error_rate(clips: Sequence[Spoken], texts: dict[str, str]) -> float:
    """In percent, over all words of all clips, by openai-whisper's English normaliser."""
    import jiwer
    from whisper.normalizers import EnglishTextNormalizer

    normalise = EnglishTextNormalizer()
    references = [normalise(spoken.reference) for spoken in clips]
    return 100 * float(jiwer.wer(references, [normalise(texts[spoken.name]) for spoken in clips]))


def differences(clips: Sequence[Spoken], a: Result, b: Result) -> Iterator[tuple[str, str, str]]:
    """(clip, text of a, text of b) where the tokens differ."""
    for spoken in clips:
        if a.tokens[spoken.name] != b.tokens[spoken.name]:
            yield spoken.name, a.texts[spoken.name], b.texts[spoken.name]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speech", type=Path, required=True, help="a directory with manifest.tsv")
    parser.add_argument("--model", default="base")
    parser.add_argument("--profiles", default="cpu-float32,cpu,cpu-int8")
    parser.add_argument("--language", default="en")
    parser.add_argument("--limit", type=int, default=None, help="only the first N clips")
    parser.add_argument("--json", type=Path, help="write the report there too")
    given = parser.parse_args(arguments)

    cache = default_cache_directory()
    path = resolve_model(given.model, cache=cache)
    checkpoint = open_checkpoint(path)
    clips = speech(given.speech, given.language)[: given.limit]
    results: dict[str, Result] = {}
    keys: dict[str, str] = {}
    _say(f"{len(clips)} clips, {sum(spoken.clip.duration_s for spoken in clips):.0f} s")
    for profile in given.profiles.split(","):
        keys[profile], results[profile] = ours(checkpoint, given.model, profile, given.language, clips)
        _say(f"{profile}: {results[profile].took_s:.1f} s")
    results[OPENAI] = openai(checkpoint, given.language, clips)
    _say(f"{OPENAI}: {results[OPENAI].took_s:.1f} s")
    if find_spec("faster_whisper") is not None and checkpoint.format == "ctranslate2":
        for compute_type in ("int8", "float32"):
            name = f"faster-whisper {compute_type}"
            results[name] = faster_whisper(path, compute_type, given.language, clips)
            _say(f"{name}: {results[name].took_s:.1f} s")
    report = _report(clips, results, keys)
    _print(report)
    if given.json:
        given.json.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


def _report(clips: Sequence[Spoken], results: dict[str, Result], keys: dict[str, str]) -> dict[str, Any]:
    audio_s = sum(spoken.clip.duration_s for spoken in clips)
    modules = {"openvino": "openvino", "openai-whisper": "whisper", "faster-whisper": "faster_whisper"}
    versions = {name: version(name) for name, module in modules.items() if find_spec(module) is not None}
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "versions": {"neuron-whisper": __version__, **versions},
        "clips": len(clips),
        "audio_s": round(audio_s, 1),
        "systems": {
            name: {
                "wer_percent": round(word_error_rate(clips, result.texts), 2),
                "took_s": round(result.took_s, 1),
                "rtf": round(result.took_s / audio_s, 4),
                "artifact_key": keys.get(name, "")[:16],
                "identical_to_openai": sum(result.tokens[s.name] == results[OPENAI].tokens[s.name] for s in clips),
            }
            for name, result in results.items()
        },
        "differences": {
            profile: [
                {"clip": name, "ours": a, "openai": b}
                for name, a, b in differences(clips, results[profile], results[OPENAI])
            ]
            for profile in keys
        },
    }


def _print(report: dict[str, Any]) -> None:
    out = sys.stdout.write
    out(f"{report['date']}  {report['machine']}  {report['versions']}\n")
    out(f"{report['clips']} clips, {report['audio_s']} s of audio, greedy, one after another\n\n")
    out("| system | WER % | seconds | RTF | tokens as openai-whisper | artifact |\n")
    out("| --- | --- | --- | --- | --- | --- |\n")
    for name, row in report["systems"].items():
        same = f"{row['identical_to_openai']}/{report['clips']}"
        out(f"| {name} | {row['wer_percent']} | {row['took_s']} | {row['rtf']} | {same} | {row['artifact_key']} |\n")
    for profile, rows in report["differences"].items():
        for row in rows:
            out(f"\n{profile} {row['clip']}\n  ours:   {row['ours']}\n  openai: {row['openai']}\n")


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
