"""`compile` of a checkpoint of Kotoba's size on the memory of an inf2.xlarge, by NxD itself: minutes and some GB."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from neuron_whisper.host import hardware
from neuron_whisper.model.published_dims import PUBLISHED_DIMS
from neuron_whisper.target.neuron import compile_process
from tests import neuron_sim
from tests.support.cli_runs import Cli
from tests.support.tiny_models import write_tiny_checkpoint

GIB = 1 << 30
# one bucket of each kind: tracing is what takes the time here
SHAPES = ("--prompt-buckets", "4", "--set", "shapes.align=false")

pytestmark = pytest.mark.skipif(
    not neuron_sim.is_installed(), reason="no simulator: that a model of Kotoba's size compiles is not proved"
)


@pytest.fixture
def workspace() -> Iterator[Path]:
    """Gone after the test, unlike tmp_path: it takes 4 GB."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


def test_kotoba_at_tp_2_on_16_gib_is_warned_of_and_compiled_one_graph_at_a_time(
    cli: Cli, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_tiny_checkpoint(workspace / "kotoba", dims=PUBLISHED_DIMS["kotoba-v2.2"], dtype=np.float16)
    monkeypatch.setattr(hardware, "read_memory_bytes", lambda: (16 * GIB, 16 * GIB))
    running: list[str] = []
    follow = compile_process._CompileMonitor.on_event

    def on_event(monitor: compile_process._CompileMonitor, line: str) -> None:
        follow(monitor, line)
        running.append(", ".join(monitor._running))

    monkeypatch.setattr(compile_process._CompileMonitor, "on_event", on_event)
    done = cli(
        "compile", "--model", model, "--profile", "neuron-kotoba-v2-inf2.xlarge-tp2", *SHAPES, "--cache", workspace
    )
    assert done.code == 0, done.err
    assert "WARNING neuron_whisper.build: compiling all 4 graphs at once takes about " in done.err
    assert "17.2 GB is available; they are compiled one at a time" in done.err
    assert {graph for graph in running if graph} == {"encode 1", "prefill 4", "decode 8", "logits 8"}
    artifact = Path(done.out.strip())
    assert json.loads((artifact / "manifest.json").read_text())["tp"] == 2
