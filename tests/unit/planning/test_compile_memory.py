"""Memory before compiling for Neuron: how many graphs at once, and when it is better not to begin."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.cli.main import run
from neuron_whisper.errors import HostMemoryTooSmall
from neuron_whisper.planning.compile_memory import choose_jobs
from neuron_whisper.planning.cost_model import CompileMemory
from neuron_whisper.target.registry import missing_packages
from tests.support.stub_neuron import StubNeuron
from tests.support.tiny_models import TINY_DIMS, write_tiny_checkpoint

GB = 1_000_000_000
GRAPHS = (("encode 1", 20 * GB), ("prefill 4", 2 * GB), ("decode 8", 4 * GB))
MEMORY = CompileMemory(weight_bytes=3 * GB, graph_bytes=GRAPHS)


@pytest.mark.parametrize(
    ("available_gb", "jobs", "needed_gb"), [(29, 3, 29), (28.9, 2, 27), (26, 1, 23), (23, 1, 23), (None, 3, 29)]
)
def test_as_many_graphs_at_once_as_memory_holds(available_gb: float | None, jobs: int, needed_gb: int) -> None:
    chosen = choose_jobs(MEMORY, None if available_gb is None else int(available_gb * GB))
    assert (chosen.jobs, chosen.needed_bytes) == (jobs, needed_gb * GB)
    assert chosen.is_limited == (jobs < 3)


def test_too_little_for_one_graph_is_refused_with_the_largest_and_what_to_do() -> None:
    with pytest.raises(HostMemoryTooSmall) as refused:
        choose_jobs(MEMORY, 16 * GB)
    text = str(refused.value)
    assert text.startswith("compiling one graph at a time takes about 23.0 GB of host memory, 20.0 GB of it for encode")
    for words in ("(an estimate)", "16.0 GB is available", "--instance inf2", "`artifacts export`", "--ignore-memory"):
        assert words in text


def test_requested_jobs_are_not_reduced() -> None:
    assert choose_jobs(MEMORY, 100 * GB, jobs=2).jobs == 2
    assert choose_jobs(MEMORY, 100 * GB, jobs=99).jobs == 3
    with pytest.raises(HostMemoryTooSmall, match=r"^compiling 3 graphs at once takes about 29\.0 GB"):
        choose_jobs(MEMORY, 23 * GB, jobs=3)


def test_ignore_memory_gives_the_requested_jobs_or_one_at_a_time() -> None:
    for asked, jobs in ((None, 1), (3, 3)):
        chosen = choose_jobs(MEMORY, GB, jobs=asked, ignore_memory=True)
        assert (chosen.jobs, chosen.fits) == (jobs, False)


@given(
    sizes=st.lists(st.integers(1, 100), min_size=1, max_size=8),
    weights=st.integers(0, 50),
    available=st.integers(0, 400),
)
def test_the_choice_fits_and_one_more_would_not(sizes: list[int], weights: int, available: int) -> None:
    memory = CompileMemory(weight_bytes=weights, graph_bytes=tuple((f"graph {i}", it) for i, it in enumerate(sizes)))
    if memory.one_at_a_time_bytes > available:
        with pytest.raises(HostMemoryTooSmall):
            choose_jobs(memory, available)
        return
    chosen = choose_jobs(memory, available)
    assert chosen.fits
    assert chosen.jobs == len(sizes) or memory.peak_bytes(chosen.jobs + 1) > available
    assert memory.all_at_once_bytes == weights + sum(sizes)


# --- on the command line --------------------------------------------------------------------------


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StubNeuron:
    if not missing_packages("neuron"):
        pytest.skip("the Neuron packages are installed: what a stub of them shows is not proved here")
    return StubNeuron(tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def long_windows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small file whose encoder attends over a quarter of an hour, 64 windows at a time: hundreds of GB to compile."""
    dims = replace(TINY_DIMS, n_audio_ctx=48_000)
    return write_tiny_checkpoint(tmp_path_factory.mktemp("models") / "long.en", dims=dims)


def test_compile_refuses_before_it_begins_and_goes_on_with_ignore_memory(
    stub: StubNeuron, capsys: pytest.CaptureFixture[str], tmp_path: Path, long_windows: Path
) -> None:
    cache = tmp_path / "cache"
    command = [
        "compile",
        "--model",
        str(long_windows),
        "--target",
        "neuron",
        "--slots",
        "64",
        "--encode-batch",
        "64",
        "--cache",
        str(cache),
    ]
    stub.write_tool("neuronx-cc", f"touch {tmp_path}/begun; exit 1")
    assert run([*command, "--dry-run", "--json"]) == 0
    memory = json.loads(capsys.readouterr().out)["compile_memory"]
    assert 0 < memory["available_bytes"] < memory["one_at_a_time_bytes"] < memory["all_at_once_bytes"]
    assert run(command) == 2
    stderr = capsys.readouterr().err
    assert "error: compiling one graph at a time takes about " in stderr
    assert "GB of it for encode 64 alone (an estimate)" in stderr
    assert not (tmp_path / "begun").exists()
    assert run([*command, "--ignore-memory"]) == 2
    assert "continuing: 1 of " in capsys.readouterr().err
    assert (tmp_path / "begun").exists()
