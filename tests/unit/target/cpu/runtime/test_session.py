"""CpuSession on a damaged directory; tests/integration/test_session_contract.py runs the contract on it."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from neuron_whisper.errors import DeviceError, TargetUnavailable
from neuron_whisper.target.cpu.lowering import graph_signatures
from neuron_whisper.target.cpu.runtime.contiguous_caches import ContiguousCaches
from neuron_whisper.target.cpu.runtime.session import CpuSession
from tests.support.session_steps import decode_step, encode_and_prefill, logits_step
from tests.support.sessions import open_session, tolerance
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


@pytest.mark.parametrize("kind", ["cpu float32", "cpu bfloat16"])
def test_slots_far_from_each_other_return_what_they_return_alone(kind: str, tmp_path: Path) -> None:
    """Narrow slots in the runs 0 and 6 to 7, wide ones in the runs 2 and 4 to 5."""
    session = open_session(kind, spec(slots=8, beams=3), tmp_path)
    widths = {0: 1, 2: 3, 4: 3, 5: 3, 6: 1, 7: 1}
    steps: list[tuple[dict[int, int | list[int]], dict[int, list[int]]]] = [
        ({0: 11, 2: [12, 13, 14], 4: [31, 32, 33], 5: [15, 16, 17], 6: 34, 7: 18}, {}),
        (
            {0: 21, 2: [22, 23, 24], 4: [41, 42, 43], 5: [25, 26, 27], 6: 44, 7: 28},
            {2: [1, 0, 0], 4: [0, 2, 0], 5: [2, 2, 1]},
        ),
    ]

    def run(slots: Iterable[int]) -> dict[int, list[NDArray[np.float32]]]:
        for slot in slots:
            encode_and_prefill(session, slot, window=slot, beams=widths[slot])
        found: dict[int, list[NDArray[np.float32]]] = {slot: [] for slot in slots}
        for position, (tokens, parents) in enumerate(steps, 3):
            own = {slot: tokens[slot] for slot in slots}
            chosen = decode_step(session, own, position, parents=parents)
            everything = logits_step(session, own, position)  # the same rows once more
            for slot in slots:
                rows = slice(3 * slot, 3 * slot + widths[slot])
                found[slot] += [chosen.logprobs[rows, :1], everything[rows]]
        return found

    together = run(widths)
    for slot in widths:
        for a, b in zip(together[slot], run([slot])[slot], strict=True):
            # a lone slot may have a graph of its own, whose sums are rounded in another order
            np.testing.assert_allclose(a, b, atol=max(1e-5, tolerance(kind)))
    session.close()
