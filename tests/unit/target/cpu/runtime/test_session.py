"""CpuSession on a damaged directory; tests/integration/test_session_contract.py runs the contract on it."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from neuron_whisper.errors import DeviceError, TargetUnavailable
from neuron_whisper.target.cpu.lowering import graph_signatures
from neuron_whisper.target.cpu.runtime.contiguous_caches import ContiguousCaches
from neuron_whisper.target.cpu.runtime.session import CpuSession
from tests.support.session_steps import encode_and_prefill
from tests.support.sessions import open_session
from tests.support.tiny_program import spec


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("program")
    open_session("cpu float32", spec(), directory).close()
    return directory


def test_every_graph_is_read_before_a_session_is_open(program: Path, tmp_path: Path) -> None:
    shutil.copytree(program, tmp_path, dirs_exist_ok=True)
    graph_signatures.graph_file(tmp_path, "decode_1").write_text("<net/>")
    with pytest.raises(TargetUnavailable, match="cannot load decode_1"):
        CpuSession(tmp_path, spec(), ContiguousCaches(spec(), dtype="float32"))


def test_a_session_can_be_closed_while_its_graphs_are_compiled(program: Path) -> None:
    before = {*threading.enumerate()}
    session = CpuSession(program, spec(), ContiguousCaches(spec(), dtype="float32"))
    session.close()
    session.close()
    with pytest.raises(DeviceError, match="closed"):
        encode_and_prefill(session, 0)
    assert not [it for it in threading.enumerate() if it.name.startswith("compile") and it not in before]


@pytest.mark.parametrize("content", [None, "", "<net/>"])
def test_a_graph_that_openvino_cannot_load_is_named(tmp_path: Path, content: str | None) -> None:
    for file in (graph_signatures.weights_file(tmp_path), graph_signatures.graph_file(tmp_path, "prefill")):
        file.parent.mkdir()
    graph_signatures.weights_file(tmp_path).write_bytes(b"0")
    if content is not None:
        for name in graph_signatures.graphs_at_open(spec()):
            graph_signatures.graph_file(tmp_path, name).write_text(content)
    with pytest.raises(TargetUnavailable, match="cannot load encode_1"):
        CpuSession(tmp_path, spec(), ContiguousCaches(spec(), dtype="float32"))
