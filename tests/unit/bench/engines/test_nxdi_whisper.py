"""NxDI's Whisper: how its application is opened, called and timed. The simulator runs a real one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from neuron_whisper.bench.engines.nxdi_whisper import NxdiWhisper, compile_for_nxdi
from tests.support.peer_stubs import engine_config, install

SILENCE = np.zeros(16_000, np.float32)
VOCABULARY = 10


class Part:
    """An encoder or decoder: `forward` gives a tensor of the shape that `shape_of` says."""

    def __init__(self, shape_of: Any) -> None:
        self.forward: Callable[..., torch.Tensor] = lambda *inputs: torch.zeros(shape_of(*inputs))


class Application:
    """Transcribes with one encode, one prompt of eight positions, and two steps."""

    opened: ClassVar[list[Application]] = []

    def __init__(self, directory: str, config: Any) -> None:
        self.directory, self.config = directory, config
        self.encoder = Part(lambda mel: (1, 5, 4))
        self.decoder = Part(lambda tokens, *rest: (1, tokens.shape[-1], VOCABULARY))
        self.calls: list[dict[str, Any]] = []
        self.opened.append(self)

    def compile(self, destination: str) -> None:
        Path(destination, "model.pt").touch()
        (Path(os.environ["BASE_COMPILE_WORK_DIR"])).mkdir()
        Path("log-neuron-cc.txt").touch()

    def load(self, directory: str) -> None:
        self.loaded = directory

    def transcribe(self, samples: Any, **options: Any) -> dict[str, Any]:
        self.calls.append(options)
        self.encoder.forward(torch.zeros(1, 80, 10))
        for length in (8, 1, 1):
            self.decoder.forward(torch.zeros(1, length), None)
        return {"text": " one two", "segments": [{"tokens": [1, 2], "start": 0, "end": 2.5, "text": " one two"}]}


@pytest.fixture(autouse=True)
def nxdi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEURON_RT_NUM_CORES", raising=False)
    monkeypatch.delenv("NEURON_RT_VISIBLE_CORES", raising=False)
    Application.opened.clear()
    package = "neuronx_distributed_inference"
    install(monkeypatch, f"{package}.models.config", NeuronConfig=lambda **options: SimpleNamespace(**options))
    install(
        monkeypatch,
        f"{package}.models.whisper.modeling_whisper",
        NeuronApplicationWhisper=Application,
        WhisperInferenceConfig=lambda neuron, load_config: SimpleNamespace(
            neuron_config=neuron, load_config=load_config
        ),
    )
    install(monkeypatch, f"{package}.utils.hf_adapter", load_pretrained_config=lambda directory: directory)
    # put back what opening sets
    monkeypatch.setenv("BASE_COMPILE_WORK_DIR", "/tmp/nxd_model/")
    monkeypatch.setenv("NEURON_RT_NUM_CORES", "")


def test_the_application_has_the_variants_type_and_cores_and_weights_of_its_own() -> None:
    NxdiWhisper(engine_config("nxdi-whisper", "float32-tp2"))
    [application] = Application.opened
    neuron = application.config.neuron_config
    assert (neuron.torch_dtype, neuron.tp_degree, neuron.batch_size) == (torch.float32, 2, 1)
    assert neuron.save_sharded_checkpoint
    assert application.loaded == application.directory == application.config.load_config == "weights"
    assert os.environ["NEURON_RT_NUM_CORES"] == "2"  # the runtime would take every core


def test_a_clip_is_decoded_by_the_given_options_and_one_candidate() -> None:
    engine = NxdiWhisper(engine_config("nxdi-whisper", "float16", temperature=(0.0, 0.4), task="translate"))
    result = engine.transcribe(SILENCE, "en")
    assert (result.text, result.tokens, result.segments) == ("one two", [1, 2], [(0.0, 2.5, " one two")])
    assert Application.opened[0].calls == [
        {
            "language": "en",
            "task": "translate",
            "temperature": (0.0, 0.4),
            "best_of": None,
            "fp16": False,
            "condition_on_previous_text": True,
        }
    ]
    assert engine.is_serial


@pytest.mark.parametrize(("variant", "width"), [("float16", 2), ("float32", 4)])
def test_each_kind_of_graph_is_counted_with_the_bytes_that_come_back(variant: str, width: int) -> None:
    engine = NxdiWhisper(engine_config("nxdi-whisper", variant))
    assert engine.graph_totals() == []
    for _ in range(2):
        engine.transcribe(SILENCE, None)
    found = {total.name: total for total in engine.graph_totals()}
    assert {name: (it.calls, it.to_host_bytes) for name, it in found.items()} == {
        "encode": (2, 2 * 5 * 4 * width),
        "prefill": (2, 2 * 8 * VOCABULARY * 4),
        "decode": (4, 4 * VOCABULARY * 4),
    }
    assert all(it.seconds > 0 for it in found.values())


def test_compiling_leaves_the_configuration_beside_the_graphs_and_scratch_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # and back
    source, destination = tmp_path / "source", tmp_path / "attempt" / "converted"
    source.mkdir()
    destination.mkdir(parents=True)
    (source / "config.json").write_text("{}")
    compile_for_nxdi(source, destination, "float16")
    assert {path.name for path in destination.iterdir()} == {"model.pt", "config.json"}
    assert {path.name for path in destination.parent.iterdir()} == {"converted", "graphs", "log-neuron-cc.txt"}
