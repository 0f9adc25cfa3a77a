"""A measurement over real worker processes: turns, texts that vary, and a system that fails."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from neuron_whisper.bench.accuracy.manifest import ReferenceUtterance
from neuron_whisper.bench.accuracy.run import Measurement, System
from neuron_whisper.errors import InputError
from tests.support.manifests import write_speech
from tests.support.peer_stubs import engine_config

# A worker without an engine: it notes when it starts and ends.
SCRIPTED = """#!{python}
import json, os, sys
say = lambda word: open({log!r}, "a").write(word + "\\n")
say("start")
calls = 0
for line in sys.stdin:
    do = json.loads(line)["do"]
    calls += do == "transcribe"
    print(json.dumps({{
        "open": {{"is_serial": True}},
        "transcribe": {{"text": "one", "tokens": [1], "segments": None, "words": None, "took_s": 0.5}},
        "graphs": {{"graphs": [
            {{"name": "encode", "calls": calls, "seconds": calls / 4, "to_host_bytes": calls * 8}}
        ]}},
        "usage": {{"peak_bytes": 1, "cpu_s": 1}},
    }}[do]), flush=True)
say("end")
"""


def scripted_system(folder: Path, name: str) -> System:
    worker = folder / name
    worker.write_text(SCRIPTED.format(python=sys.executable, log=str(folder / "log")))
    worker.chmod(0o755)
    return System(name=name, model="tiny", config=engine_config("whisper.cpp", "f16"), python=str(worker))


@pytest.mark.parametrize(("one_at_a_time", "order"), [(True, "start end start end"), (False, "start start end end")])
def test_systems_that_do_not_fit_together_are_loaded_one_after_the_other(
    one_at_a_time: bool, order: str, tmp_path: Path
) -> None:
    speech = [utterance(write_speech(tmp_path) / "a.wav")]
    systems = [scripted_system(tmp_path, name) for name in ("one", "two")]
    _, results = Measurement(systems=systems, speech=speech, runs=2, one_at_a_time=one_at_a_time).measure()
    assert (tmp_path / "log").read_text().split() == order.split()
    assert [result.seconds for result in results] == [[[0.5], [0.5]]] * 2
    assert [result.error for result in results] == ["", ""]


def test_the_calls_of_graphs_are_those_of_the_runs_without_the_warm_up(tmp_path: Path) -> None:
    speech = [utterance(write_speech(tmp_path) / "a.wav"), utterance(tmp_path / "b.wav")]
    _, [result] = Measurement(systems=[scripted_system(tmp_path, "one")], speech=speech, runs=3).measure()
    encode = result.graphs["encode"]
    assert (encode.calls, encode.seconds, encode.to_host_bytes) == (6, 1.5, 48)


def utterance(path: Path) -> ReferenceUtterance:
    return ReferenceUtterance(path=path, language="en", text="one")


def test_a_system_that_does_not_open_has_an_error_and_the_clips_are_decoded(tmp_path: Path) -> None:
    lines: list[str] = []
    system = System(name="peer", model="tiny", config=engine_config("whisper.cpp", "f16"), python="/bin/false")
    speech = [utterance(write_speech(tmp_path) / "a.wav")]
    clips, [result] = Measurement(systems=[system], speech=speech, runs=1, log=lines.append).measure()
    assert [clip.duration_s for clip in clips] == [1.0]
    assert result.error.startswith("its process ended with 1")
    assert result.seconds == []
    assert lines[0] == "1 clips, 1 s of audio"
    assert not system.is_ours


def test_a_clip_that_cannot_be_read_ends_the_measurement_before_a_worker_starts(tmp_path: Path) -> None:
    system = System(name="ours", model="tiny", config=engine_config("neuron-whisper", "auto"), python=sys.executable)
    with pytest.raises(InputError):
        Measurement(systems=[system], speech=[utterance(tmp_path / "none.wav")]).measure()
