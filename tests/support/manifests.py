"""A folder of two recordings of noise, with a manifest of each kind."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import numpy as np


def write_speech(folder: Path) -> Path:
    """a.wav (1 s) and b.wav (2 s), speech.tsv, speech.jsonl and a.txt, in the folder."""
    for n, name in enumerate(("a.wav", "b.wav")):
        samples = np.random.default_rng(n).normal(0, 3000, 16_000 * (n + 1)).astype("<i2")
        with wave.open(str(folder / name), "wb") as file:
            file.setparams((1, 2, 16_000, 0, "NONE", ""))
            file.writeframes(samples.tobytes())
    rows = 'file\tlang\ttranscript\tkind\na.wav\ten\t"Quoted and\treal\nb.wav\tde-DE\tZwei\tsynthetic\n'
    (folder / "speech.tsv").write_text(rows, encoding="utf-8")
    lines = [
        {"path": "a.wav", "text": "one", "language": "English", "channel": 0},
        {"path": "b.wav", "text": "", "language": "en"},
        {"path": "b.wav", "text": None, "language": "en"},
    ]
    (folder / "speech.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    (folder / "a.txt").write_text("one\n")
    return folder
