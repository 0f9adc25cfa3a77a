"""load_model() on a small checkpoint: compiled on the first use, found on the second, opened by path and by name."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuron_whisper
from neuron_whisper.errors import InvalidOption, ModelForked, ProfileError, UnknownModel
from tests.support.servers import tone
from tests.support.tiny_models import TINY_PROFILE, write_tiny_checkpoint

OPTIONS: dict[str, Any] = {"vad_filter": False, "temperature": 0.0}


@dataclass(frozen=True)
class Compiled:
    """A checkpoint, its profile, a cache that holds its artifact, and what was reported while it was compiled."""

    checkpoint: Path
    profile: Path
    cache: Path
    steps: list[str]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    directory = tmp_path_factory.mktemp("api")
    profile = directory / "tiny.toml"
    profile.write_text(TINY_PROFILE)
    checkpoint = write_tiny_checkpoint(directory / "tiny")
    steps: list[str] = []
    with neuron_whisper.load_model(
        checkpoint, profile=profile, cache=directory / "cache", progress=lambda what, done, total: steps.append(what)
    ) as model:
        assert model.transcribe(tone(), **OPTIONS).duration == 1.0
    return Compiled(checkpoint=checkpoint, profile=profile, cache=directory / "cache", steps=steps)


def test_the_first_load_compiles_and_reports_its_steps(compiled: Compiled) -> None:
    assert "golden tokens" in compiled.steps


def test_the_second_load_compiles_nothing(compiled: Compiled) -> None:
    steps: list[str] = []
    with neuron_whisper.load_model(
        compiled.checkpoint,
        profile=compiled.profile,
        cache=compiled.cache,
        progress=lambda what, done, total: steps.append(what),
    ):
        assert steps == []


def test_an_artifact_opens_by_its_path_and_by_its_name(compiled: Compiled) -> None:
    (path,) = (compiled.cache / "artifacts").iterdir()
    texts = set()
    for reference in (path, str(path), path.name):
        with neuron_whisper.load_model(reference, cache=compiled.cache) as model:
            texts.add(model.transcribe(tone(), **OPTIONS).text)
    assert len(texts) == 1


def test_a_program_that_ends_amid_a_transcription_ends_with_0(compiled: Compiled) -> None:
    code = (
        "import sys, threading, numpy, neuron_whisper\n"
        "model = neuron_whisper.load_model(sys.argv[1], profile=sys.argv[2], cache=sys.argv[3])\n"
        "audio = numpy.random.default_rng(0).normal(0, 0.1, 16_000 * 600).astype(numpy.float32)\n"
        "decoding = threading.Event()\n"
        "def transcribe():\n"
        "    model.transcribe(audio, vad_filter=False, progress=lambda done_s, total_s: decoding.set())\n"
        "threading.Thread(target=transcribe, daemon=True).start()\n"
        "assert decoding.wait(60)\n"
    )
    arguments = [str(compiled.checkpoint), str(compiled.profile), str(compiled.cache)]
    ended = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr


def test_two_replicas_give_the_same_text(compiled: Compiled) -> None:
    (path,) = (compiled.cache / "artifacts").iterdir()
    audio = np.random.default_rng(0).normal(0, 0.1, 16_000 * 65).astype(np.float32)
    with neuron_whisper.load_model(path, cache=compiled.cache, threads=1) as model:
        expected = model.transcribe(audio, **OPTIONS).text
    with neuron_whisper.load_model(path, cache=compiled.cache, threads=1, replicas=2) as model:
        assert asyncio.run(model.atranscribe(audio, **OPTIONS)).text == expected


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # what this is about
def test_a_model_on_openvino_says_in_a_forked_child_that_it_was_opened_before(compiled: Compiled) -> None:
    (path,) = (compiled.cache / "artifacts").iterdir()
    with neuron_whisper.load_model(path, cache=compiled.cache) as model:
        child = os.fork()
        if not child:  # pragma: no cover  # in another process
            try:
                model.transcribe(tone())
            except ModelForked:
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert model.transcribe(tone(), **OPTIONS).duration == 1.0


def test_an_english_only_model_refuses_a_translation(compiled: Compiled) -> None:
    (path,) = (compiled.cache / "artifacts").iterdir()
    with neuron_whisper.load_model(path, cache=compiled.cache) as model:
        assert model.languages == ("en",)
        with pytest.raises(InvalidOption) as refused:
            model.transcribe(tone(), task="translate")
        assert refused.value.field == "task"


def test_more_beams_than_the_profile_has_are_refused(compiled: Compiled) -> None:
    (path,) = (compiled.cache / "artifacts").iterdir()
    with neuron_whisper.load_model(path, cache=compiled.cache) as model, pytest.raises(InvalidOption) as refused:
        model.transcribe(tone(), beam_size=16, **OPTIONS)
    assert refused.value.field == "beam_size"


def test_a_wrong_profile_is_said_before_a_model_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="no such profile"):
        neuron_whisper.load_model("base", profile="cpu-int9", cache=tmp_path)


def test_a_path_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel):
        neuron_whisper.load_model(tmp_path, cache=tmp_path / "cache")
