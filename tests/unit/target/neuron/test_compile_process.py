"""Compiling for Neuron in a child process."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from neuron_whisper.errors import LoweringFailed
from neuron_whisper.target.neuron.compile_process import compile_in_child, graph_labels, instrument_compile
from neuron_whisper.target.neuron.lowering.graphs import example_inputs
from neuron_whisper.target.registry import missing_packages
from tests.support.neuron_programs import make_profile
from tests.support.tiny_program import spec


def ignore_progress(what: str, done: int, total: int | None) -> None:
    pass


@pytest.mark.skipif(not missing_packages("neuron"), reason="the packages are here, so they cannot be missing")
def test_a_compile_process_that_fails_reports_why(tmp_path: Path) -> None:
    with pytest.raises(LoweringFailed, match="neuronx_distributed"):
        compile_in_child(spec(), make_profile(1), tmp_path / "graphs.pt", ignore_progress)


def test_every_graph_of_the_application_has_a_label() -> None:
    folders = [
        f"{tag}/_tp0_bk{i}"
        for tag, (_, buckets) in example_inputs(spec(), torch.float32).items()
        for i in range(len(buckets))
    ]
    assert sorted(graph_labels(spec())) == sorted(folders)


@pytest.mark.parametrize(("jobs", "most"), [(1, 1), (2, 2), (0, 4)])
def test_jobs_bound_the_graphs_in_the_compiler(jobs: int, most: int) -> None:
    meeting, lock = threading.Barrier(most), threading.Lock()
    inside, events = [0, 0], []

    def compile_one(work_dir: str) -> None:
        with lock:
            inside[0] += 1
            inside[1] = max(inside)
        meeting.wait(30)  # so many do come in at the same time
        with lock:
            inside[0] -= 1

    def send_event(what: str, folder: str) -> None:
        events.append((what, folder))

    one = instrument_compile(compile_one, send_event, jobs, lambda key: nullcontext())
    threads = [threading.Thread(target=one, kwargs={"work_dir": f"/work/encode/_tp0_bk{i}"}) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inside == [0, most]
    assert sorted(events) == sorted((what, f"encode/_tp0_bk{i}") for what in ("started", "done") for i in range(4))
