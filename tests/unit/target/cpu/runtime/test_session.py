"""CpuSession on a damaged directory; tests/integration/test_session_contract.py runs the contract on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuron_whisper.errors import TargetUnavailable
from neuron_whisper.target.cpu.lowering import graph_signatures
from neuron_whisper.target.cpu.runtime.contiguous_caches import ContiguousCaches
from neuron_whisper.target.cpu.runtime.session import CpuSession
from tests.support.tiny_program import spec


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
