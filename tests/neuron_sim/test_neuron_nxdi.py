"""NxDI's own Whisper as `bench` measures it: the real NeuronApplicationWhisper, on weights that ours run on, too."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuron_whisper.bench.engines.config import DecodingConfig, EngineConfig
from neuron_whisper.bench.engines.registry import open_engine
from tests import neuron_sim
from tests.support.manifests import write_speech
from tests.support.tiny_models import TINY_DIMS, write_tiny_checkpoint

pytestmark = pytest.mark.skipif(
    not neuron_sim.is_installed(), reason="no simulator: that `bench` measures NxDI's Whisper is not proved"
)

# openai-whisper, which drives NxDI's, ends a window after half the text context: nonsense always fills it
DIMS = replace(TINY_DIMS, n_audio_head=2, n_text_head=2, n_text_ctx=24)
PROFILE = """format = 1
[target]
name = "neuron"
dtype = "float32"
[weights]
dtype = "float32"
[shapes]
slots = 2
prompt_buckets = [4]
text_context = 24
align = false
"""


@dataclass(frozen=True, slots=True)
class Run:
    """The cache of a run of `bench`, and its report."""

    cache: Path
    report: Mapping[str, Any]

    def system(self, engine: str, variant: str) -> dict[str, Any]:
        [found] = [it for it in self.report["systems"] if (it["engine"], it["variant"]) == (engine, variant)]
        return dict(found)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Our Neuron target, NxDI's Whisper on one and on two cores, and openai-whisper, on the same seeded weights."""
    folder = tmp_path_factory.mktemp("nxdi")
    checkpoint = write_tiny_checkpoint(folder / "tiny-random.en", dims=DIMS)
    (folder / "neuron.toml").write_text(PROFILE)
    peers = ("nxdi-whisper:float32", "nxdi-whisper:float32-tp2", "openai-whisper")
    command = [
        *(sys.executable, "-m", "neuron_whisper", "bench", str(write_speech(folder) / "speech.jsonl")),
        *("--model", str(checkpoint), "--profile", str(folder / "neuron.toml")),
        *(part for peer in peers for part in ("--peer", peer)),
        *("--temperature", "0", "--runs", "1", "--no-extras", "--cache", str(folder / "cache")),
        *("--json", str(folder / "report.json"), "--one-at-a-time"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Neuron packages are simulated: times say nothing of a device." in done.stdout
    return Run(folder / "cache", json.loads((folder / "report.json").read_text()))


@pytest.mark.parametrize("variant", ["float32", "float32-tp2"])
def test_nxdis_whisper_says_what_openai_whisper_says_on_the_same_weights(run: Run, variant: str) -> None:
    clips = run.report["speech"]["clips"]
    found = run.system("nxdi-whisper", variant)
    same = {"same_text": clips, "same_normalised_text": clips, "same_tokens": clips, "differing": []}
    assert found["as_openai_whisper"] == same
    assert found["rtf"] > 0
    assert found["versions"]["neuronx-distributed-inference"]
    assert run.report["skipped"] == []


def test_bytes_to_the_host_are_reported_beside_ours(run: Run) -> None:
    vocabulary, state = 4 * DIMS.n_vocab, 4 * DIMS.n_audio_ctx * DIMS.n_audio_state
    theirs = run.system("nxdi-whisper", "float32")["graphs"]
    assert {name: it["to_host_bytes"] for name, it in theirs.items()} == {
        "encode": state,
        "prefill": DIMS.n_text_ctx * vocabulary,
        "decode": vocabulary,
    }
    ours = run.system("neuron-whisper", "auto")["graphs"]
    assert {name: it["to_host_bytes"] for name, it in ours.items()} == {
        "encode": 8,
        "prefill": 4 * (2 + 99 + 1),
        "decode": 8 * 2,
    }
    assert ours["decode"]["calls"] > 1


@pytest.mark.parametrize("name", ["neuron-whisper", "nxdi-whisper"])
def test_the_reported_bytes_are_those_that_the_runtime_moved(
    run: Run, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.neuron_sim.runtime import graph_calls

    monkeypatch.setenv("NEURON_RT_NUM_CORES", "2")
    sources = {
        "neuron-whisper": ("auto", next((run.cache / "artifacts").glob("tiny-random.en-neuron-*"))),
        "nxdi-whisper": ("float32", next((run.cache / "bench").glob("*-nxdi-float32-????????"))),
    }
    variant, source = sources[name]
    engine = open_engine(
        EngineConfig(
            engine=name,
            variant=variant,
            source=str(source),
            threads=2,
            decoding=DecodingConfig(temperature=(0.0,), extras=False),
            is_multilingual=False,
            cache=str(run.cache),
        )
    )
    graph_calls.clear()
    assert engine.transcribe(np.random.default_rng(1).normal(0, 0.1, 16_000).astype(np.float32), "en").tokens
    totals = engine.graph_totals()  # type: ignore[attr-defined] # of these two engines
    assert sum(total.calls for total in totals) == len(graph_calls)
    assert sum(total.to_host_bytes for total in totals if total.calls) == sum(
        call.device_to_host_bytes for call in graph_calls
    )
