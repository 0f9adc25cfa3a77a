"""The facts of a run."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import version

import pytest

from neuron_whisper.bench.accuracy.run import System
from neuron_whisper.bench.accuracy.run_facts import describe_run, list_versions
from neuron_whisper.bench.engines.config import DecodingConfig, EngineConfig


def make_system(engine: str, **versions: str) -> System:
    config = EngineConfig(engine=engine, variant="", source="x", threads=1, decoding=DecodingConfig())
    return System(name=engine, model="base", config=config, python=sys.executable, facts={"versions": versions})


def test_a_package_of_another_version_in_a_peers_python_is_named_with_its_engine() -> None:
    ours = version("numpy")
    found = list_versions([make_system("a", numpy=ours, torch="2.1"), make_system("b", numpy="0.1")])
    assert found["python"] == platform.python_version()
    assert (found["numpy"], found["torch"], found["numpy of b"]) == (ours, "2.1", "0.1")
    assert "numpy of a" not in found


@pytest.mark.parametrize(("detects", "language"), [(True, "detected"), (False, "given")])
def test_a_run_has_its_command_machine_and_options(
    detects: bool, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/neuron-whisper", "bench", "my speech"])
    decoding = DecodingConfig(beam_size=5, temperature=(0.0,))
    facts = describe_run([], decoding, threads=4, runs=2, detects_language=detects, load=0.126)
    assert facts["command"] == "neuron-whisper bench 'my speech'"
    assert facts["machine"]["load_before"] == 0.13
    options = facts["options"]
    assert (options["beam_size"], options["temperature"], options["language"]) == (5, [0.0], language)
    assert (options["runs"], options["threads"]) == (2, 4)
