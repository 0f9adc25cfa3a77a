"""A Neuron compile that host memory may not hold is warned of and done one graph at a time; refused on request."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import neuron_whisper
from neuron_whisper import build
from neuron_whisper.errors import CompilerKilled
from neuron_whisper.host import hardware
from neuron_whisper.model.published_dims import PUBLISHED_DIMS
from neuron_whisper.planning.compile_memory import estimate_compile_memory
from neuron_whisper.planning.cost_model import CompileMemory
from neuron_whisper.profile import CompileProfile
from neuron_whisper.target.interfaces import ProgramSpec
from neuron_whisper.target.registry import missing_packages
from tests.support.cli_runs import Cli, Done
from tests.support.stub_neuron import StubNeuron
from tests.support.tiny_models import TINY_DIMS, write_tiny_checkpoint

GIB = 1 << 30
# neuronx-cc that fails when another runs: `mkdir` is the lock
ALONE = "mkdir {lock} || exit 7; sleep 0.02; echo $1 >> {log}; rmdir {lock}"
SHAPES = ("--slots", "8", "--prompt-buckets", "4,32", "--set", "shapes.align=false", "--set", "shapes.text_context=48")


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StubNeuron:
    if not missing_packages("neuron"):
        pytest.skip("the Neuron packages are installed: what a stub of them shows is not proved here")
    stub = StubNeuron(tmp_path, monkeypatch)
    stub.write_tool("neuronx-cc", ALONE.format(lock=tmp_path / "lock", log=tmp_path / "compiled"))
    return stub


@pytest.fixture(scope="session")
def two_heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that two ranks can share; do not change it."""
    dims = replace(TINY_DIMS, n_audio_state=128, n_text_state=128, n_audio_head=2, n_text_head=2)
    return write_tiny_checkpoint(tmp_path_factory.mktemp("models") / "two-heads.en", dims=dims)


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with 64 MB, less than the compiler takes for one graph."""
    monkeypatch.setattr(hardware, "read_memory_bytes", lambda: (128 << 20, 64 << 20))


@pytest.fixture
def kotoba_on_inf2_xlarge(monkeypatch: pytest.MonkeyPatch) -> None:
    """16 GiB, and the estimate of a checkpoint of Kotoba's dimensions whatever is compiled."""

    def estimate(spec: ProgramSpec, profile: CompileProfile) -> CompileMemory:
        return estimate_compile_memory(replace(spec, dims=PUBLISHED_DIMS["kotoba-v2.2"]), profile)

    monkeypatch.setattr(build, "estimate_compile_memory", estimate)
    monkeypatch.setattr(hardware, "read_memory_bytes", lambda: (16 * GIB, 16 * GIB))


Compile = Callable[..., Done]


@pytest.fixture
def compile_it(cli: Cli, stub: StubNeuron, tmp_path: Path, two_heads: Path) -> Compile:
    """`compile` of the tiny model at tp 2 with the stub."""

    def call(*args: str) -> Done:
        return cli("compile", "--model", two_heads, "--tp", "2", *SHAPES, *args, "--cache", tmp_path / "cache")

    return call


def test_kotoba_at_tp_2_on_16_gib_is_warned_of_and_compiled_one_graph_at_a_time_and_found_again(
    compile_it: Compile, tmp_path: Path, kotoba_on_inf2_xlarge: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = compile_it()
    assert done.code == 0, done.err
    assert "WARNING neuron_whisper.build: compiling all 5 graphs at once takes about " in done.err
    assert "17.2 GB is available; they are compiled one at a time" in done.err
    compiled = [Path(line).parts[-2] for line in (tmp_path / "compiled").read_text().splitlines()]
    assert sorted(compiled) == ["decode", "encode", "logits", "prefill", "prefill"]
    assert Path(done.out.strip()).is_dir()

    monkeypatch.setattr(hardware, "read_memory_bytes", lambda: (0, 0))
    for flags in ((), ("--strict-memory",), ("--strict-memory", "--dry-run")):
        again = compile_it(*flags)
        assert (again.code, "WARNING" in again.err) == (0, False), again.err


def test_what_not_even_one_graph_fits_is_tried_with_the_warning_of_the_dry_run(
    compile_it: Compile, tmp_path: Path, little_memory: None
) -> None:
    memory = json.loads(compile_it("--dry-run", "--json").out)["compile_memory"]
    assert 0 < memory["available_bytes"] < memory["one_at_a_time_bytes"] < memory["all_at_once_bytes"]
    assert memory["jobs"] == 1
    assert "one graph at a time takes about" in memory["warning"]

    done = compile_it("--quiet")
    assert done.code == 0, done.err
    assert f"WARNING neuron_whisper.build: {memory['warning']}\n" in done.err
    assert len((tmp_path / "compiled").read_text().splitlines()) == 5


def test_the_python_api_warns_and_a_kill_says_what_is_left_to_do(
    stub: StubNeuron, two_heads: Path, tmp_path: Path, little_memory: None, caplog: pytest.LogCaptureFixture
) -> None:
    stub.write_tool("neuronx-cc", "case $1 in */encode/*) kill -9 $$ ;; esac")
    profile = tmp_path / "two.toml"
    profile.write_text('format = 1\n[target]\nname = "neuron"\ntp = 2\n[shapes]\nprompt_buckets = [4]\n')
    with pytest.raises(CompilerKilled) as killed:
        neuron_whisper.load_model(two_heads, profile=profile, cache=tmp_path / "cache")
    assert "so it is tried" in caplog.text
    assert (killed.value.graph, killed.value.jobs) == ("encode 1", 1)
    for advice in ("add swap", "--tp", "--encode-batch", "--instance inf2"):
        assert advice in str(killed.value)


@pytest.mark.parametrize("flags", [(), ("--dry-run",), ("--jobs", "3")])
def test_strict_memory_refuses_before_anything_begins(
    compile_it: Compile, tmp_path: Path, little_memory: None, flags: tuple[str, ...]
) -> None:
    done = compile_it("--strict-memory", *flags)
    assert done.code == 2
    assert f"error: compiling {'3 graphs at once' if '--jobs' in flags else 'one graph at a time'} takes" in done.err
    assert "Without --strict-memory it is tried" in done.err
    assert not (tmp_path / "compiled").exists()
    assert not list((tmp_path / "cache").glob("artifacts/*"))


def test_the_removed_flag_names_the_new_one(compile_it: Compile) -> None:
    done = compile_it("--ignore-memory")
    assert done.code == 2
    assert "--ignore-memory was removed" in done.err
    assert "--strict-memory" in done.err
