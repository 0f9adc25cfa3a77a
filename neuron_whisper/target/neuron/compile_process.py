"""Compiles for Neuron in a child process, reports its progress, and explains its failure.

A child, because a failed trace leaves NxD's mocked parallel state behind, and because the system may kill neuronx-cc
for taking all memory without killing the process that compiles. The child and its compilers end with the parent.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any

import msgspec

from neuron_whisper.errors import CompilerKilled, LoweringFailed
from neuron_whisper.host.hardware import read_memory_bytes
from neuron_whisper.profile import CompileProfile
from neuron_whisper.target.interfaces import ProgramSpec, Progress
from neuron_whisper.target.neuron.instance import instance_family

KILLED_EXIT_CODES = (-signal.SIGKILL, 128 + signal.SIGKILL)
# Messages after a kill, of neuronx-cc and its callers (aws-neuron-samples issue 10, aws-neuron-sdk issue 431).
KILL_MESSAGES = ("F137", "forcibly killed", "failed with -9", "failed with 137", "returned: -9")
TAIL_LINES, TAIL_BYTES = 40, 1 << 16  # a traceback, and the compiler's output before it
STARTED, DONE, FAILED = "started", "done", "failed"


class CompileProcessRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the child compiles: `work_dir` is NxD's, which empties it; `graphs_file` the file to write.

    `jobs` graphs are compiled at once, 0: all. `events` is the descriptor to which it writes an event per graph.
    """

    spec: ProgramSpec
    profile: CompileProfile
    work_dir: str
    graphs_file: str
    jobs: int
    events: int


def graph_labels(spec: ProgramSpec) -> dict[str, str]:
    """NxD's folder of each graph -> our name for it: "encode/_tp0_bk1" -> "encode 8"."""
    sizes = {
        "decode": (spec.slots,),
        "logits": (spec.slots,),
        "prefill": spec.prompt_buckets,
        "encode": spec.encode_batches,
        "align": spec.align_buckets if spec.alignment_heads else (),
    }
    return {f"{tag}/_tp0_bk{i}": f"{tag} {size}" for tag, each in sizes.items() for i, size in enumerate(each)}


# --- the parent -------------------------------------------------------------------------------


def compile_in_child(
    spec: ProgramSpec, profile: CompileProfile, graphs_file: Path, progress: Progress, *, jobs: int = 0
) -> None:
    """Write the bundle to `graphs_file`. Raises CompilerKilled, LoweringFailed with the child's last output."""
    _, available = read_memory_bytes()
    monitor = _CompileMonitor(graph_labels(spec), progress)
    with tempfile.TemporaryDirectory(prefix="neuron-whisper-") as scratch:
        log_file = Path(scratch, "log.txt")
        receive, send = os.pipe()
        with open(receive, encoding="utf-8") as events, log_file.open("wb") as output:  # noqa: PTH123 - a descriptor
            try:
                request = CompileProcessRequest(
                    spec=spec,
                    profile=profile,
                    work_dir=str(Path(scratch, "work")),
                    graphs_file=str(graphs_file.absolute()),
                    jobs=jobs,
                    events=send,
                )
                file = Path(scratch, "request.json")
                file.write_bytes(msgspec.json.encode(request))
                process = subprocess.Popen(  # noqa: S603 - our own module, and a file we have just written
                    [sys.executable, "-P", "-m", "neuron_whisper.target.neuron.compile_process", str(file)],
                    env=_child_environment(profile),
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=(send,),
                    start_new_session=True,
                )
            finally:
                os.close(send)
            code = _wait_for_child(process, events, monitor)
        log_tail = _read_tail(log_file)
    if code:
        graph = monitor.failed_graph
        if code in KILLED_EXIT_CODES or any(message in log_tail for message in KILL_MESSAGES):
            raise CompilerKilled(graph, available, _last_lines(log_tail), jobs=jobs)
        raise LoweringFailed(graph, f"the compile process ended with {code}\n{_last_lines(log_tail)}")


class _CompileMonitor:
    """Tracks which graphs are being compiled, from the child's events."""

    def __init__(self, labels: Mapping[str, str], progress: Progress) -> None:
        self._labels, self._progress = labels, progress
        self._running: list[str] = []
        self._failed: list[str] = []
        self._done = 0

    def on_event(self, line: str) -> None:
        with suppress(ValueError):  # a last line, incomplete because the child died
            what, folder = json.loads(line)
            name = self._labels.get(folder, folder)
            if what == STARTED:
                self._running.append(name)
            else:
                self._running.remove(name)
                self._done += what == DONE
                self._failed += [name] if what == FAILED else []
            self._progress(f"compiling {', '.join(self._running) or 'graphs'}", self._done, len(self._labels))

    @property
    def failed_graph(self) -> str:
        """The first graph that failed, or those that were being compiled; all of them before any was."""
        return self._failed[0] if self._failed else ", ".join(self._running) or "the Neuron graphs"


def _wait_for_child(process: subprocess.Popen[bytes], events: IO[str], monitor: _CompileMonitor) -> int:
    """Follow the child's events until it ends, then kill what is left of its process group. Returns its exit status."""

    # neuronx-cc may outlive a child that was killed, with our pipe still open
    def kill_with_child() -> None:
        process.wait()
        _kill_process_group(process)

    waiter = threading.Thread(target=kill_with_child, daemon=True)
    waiter.start()
    try:
        for line in events:
            monitor.on_event(line)
        waiter.join()
    finally:
        _kill_process_group(process)
        waiter.join()
        assert process.stdin is not None
        process.stdin.close()
    return process.returncode


def _kill_process_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):  # all of it has ended
        os.killpg(process.pid, signal.SIGKILL)


def _child_environment(profile: CompileProfile) -> dict[str, str]:
    package_parent = str(Path(__file__).parents[3])
    environment = dict(os.environ)
    paths = [package_parent, *filter(None, [environment.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    if profile.target.instance:
        # torch-neuronx compiles for this where it cannot detect a device: compiling needs none
        environment["NEURON_PLATFORM_TARGET_OVERRIDE"] = instance_family(profile.target.instance)
    if profile.target.tp == 4:
        # NxD 0.16 (SDK 2.27) needs it at tp 4, as if a launcher had started us; later releases set it themselves
        environment.setdefault("LOCAL_WORLD_SIZE", "4")
    return environment


def _read_tail(file: Path) -> str:
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - TAIL_BYTES))
        return stream.read().decode(errors="replace")


def _last_lines(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-TAIL_LINES:])


# --- the child --------------------------------------------------------------------------------


def instrument_compile(
    compile_one: Callable[..., Any], send_event: Callable[[str, str], None], jobs: int
) -> Callable[..., Any]:
    """libneuronxla's compile function with at most `jobs` (0: any number) calls at once and events for each."""
    slots = threading.Semaphore(jobs) if jobs else nullcontext()

    def run(*args: Any, **options: Any) -> Any:
        folder = "/".join(Path(options.get("work_dir", "")).parts[-2:])
        if "retry_failed_compilation" in options:
            # the NEFF cache keeps a graph that once lacked memory as failed, and it would fail on any host
            options["retry_failed_compilation"] = True
        with slots:
            send_event(STARTED, folder)
            try:
                made = compile_one(*args, **options)
            except BaseException:
                send_event(FAILED, folder)
                raise
            send_event(DONE, folder)
            return made

    return run


def _exit_with_parent() -> None:
    """Kill this process group when stdin ends: the pipe carries no data and closes with the parent."""
    while os.read(0, 1):  # not sys.stdin: Python needs its lock, held here, to exit
        pass
    os.killpg(0, signal.SIGKILL)


def main(file: Path) -> None:
    """Compile the request in `file`."""
    request = msgspec.json.decode(file.read_bytes(), type=CompileProcessRequest)
    threading.Thread(target=_exit_with_parent, daemon=True).start()

    def send_event(what: str, folder: str) -> None:
        # short enough for the pipe to write it atomically, from any thread
        os.write(request.events, f"{json.dumps([what, folder])}\n".encode())

    # NxD compiles every graph at once, each in a thread, by this name of its module
    builder: Any = import_module("neuronx_distributed.trace.model_builder")
    builder.neuron_xla_compile = instrument_compile(builder.neuron_xla_compile, send_event, request.jobs)
    from neuron_whisper.target.neuron.lowering.lowering import trace_graphs

    try:
        trace_graphs(request)
    except BaseException:
        traceback.print_exc()
        sys.stdout.flush()
        os._exit(1)  # or Python would wait for the graphs that other threads still compile


if __name__ == "__main__":
    main(Path(sys.argv[1]))
