"""Compiles for Neuron in a child process, reports its progress, and explains its failure.

A child, because a failed trace leaves NxD's mocked parallel state behind, and because the system may kill neuronx-cc
for taking all memory without killing the process that compiles. The child and its compilers end with the parent.
It runs in a scratch directory: neuronx-cc writes into its working directory, which may be closed to it.
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
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any

import msgspec

from neuron_whisper.artifact import locks
from neuron_whisper.errors import CompilerKilled, LoweringFailed
from neuron_whisper.host.hardware import read_memory_bytes
from neuron_whisper.profile import CompileProfile
from neuron_whisper.target.interfaces import ProgramSpec, Progress
from neuron_whisper.target.neuron.compile_cache import cache_environment, find_cache, lock_graph
from neuron_whisper.target.neuron.instance import instance_family

KILLED_EXIT_CODES = (-signal.SIGKILL, 128 + signal.SIGKILL)
# Messages after a kill, of neuronx-cc and its callers (aws-neuron-samples issue 10, aws-neuron-sdk issue 431).
KILL_MESSAGES = ("F137", "forcibly killed", "failed with -9", "failed with 137", "returned: -9")
TAIL_LINES, TAIL_BYTES = 40, 1 << 16  # a traceback, and the compiler's output before it
WAITING, STARTED, DONE, FAILED = "waiting", "started", "done", "failed"

GraphLock = Callable[[str], AbstractContextManager[None]]
"""The lock of the graph with that cache key."""


class CompileProcessRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the child compiles: `work_dir` is NxD's, which empties it; `graphs_file` the file to write.

    `lock_file` is locked while a process uses `work_dir`; beside it are the locks of graphs. `jobs` graphs are compiled
    at once, 0: all. `events` is the descriptor to which it writes an event per graph.
    """

    spec: ProgramSpec
    profile: CompileProfile
    work_dir: str
    lock_file: str
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


def weight_layout_label(profile: CompileProfile) -> dict[str, str]:
    """The graph that NxD adds where weights are laid out for one graph: it changes them at load."""
    return {"work/layout_opt": "weight layout"} if profile.compiler.priority_graph else {}


# --- the parent -------------------------------------------------------------------------------


def compile_in_child(
    spec: ProgramSpec,
    profile: CompileProfile,
    graphs_file: Path,
    progress: Progress,
    *,
    jobs: int = 0,
    scratch: Path | None = None,
    compile_cache: Path | None = None,
) -> None:
    """Write the bundle to `graphs_file`, with scratch and compile_cache as in CompileRequest.

    Raises CompilerKilled, LoweringFailed with the child's last output.
    """
    _, available = read_memory_bytes()
    monitor = _CompileMonitor(graph_labels(spec) | weight_layout_label(profile), progress)
    with _scratch_or_temporary(scratch) as directory, _lock_file(directory, compile_cache) as lock_file:
        log_file = directory / "log.txt"
        working_directory = directory / "cwd"
        working_directory.mkdir()
        receive, send = os.pipe()
        with open(receive, encoding="utf-8") as events, log_file.open("wb") as output:  # noqa: PTH123 - a descriptor
            try:
                request = CompileProcessRequest(
                    spec=spec,
                    profile=profile,
                    work_dir=str(directory / "work"),
                    lock_file=str(lock_file),
                    graphs_file=str(graphs_file.absolute()),
                    jobs=jobs,
                    events=send,
                )
                file = directory / "request.json"
                file.write_bytes(msgspec.json.encode(request))
                process = subprocess.Popen(  # noqa: S603 - our own module, and a file we have just written
                    [sys.executable, "-P", "-m", "neuron_whisper.target.neuron.compile_process", str(file)],
                    cwd=working_directory,
                    env=_child_environment(profile, compile_cache),
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


@contextmanager
def _scratch_or_temporary(scratch: Path | None) -> Iterator[Path]:
    if scratch is not None:
        yield scratch.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="neuron-whisper-") as directory:
        yield Path(directory)


@contextmanager
def _lock_file(scratch: Path, compile_cache: Path | None) -> Iterator[Path]:
    """The file that a child locks while it uses `scratch`; deleted after it, if no other child has it."""
    directory = scratch if compile_cache is None else compile_cache.absolute() / "locks"
    for each in (directory.parent, directory):  # closed to others whatever the umask
        each.mkdir(mode=0o700, exist_ok=True)
    path = directory / f"{scratch.name}.lock"
    try:
        yield path
    finally:
        if (descriptor := locks.try_acquire_exclusive(path)) is not None:
            locks.release_and_delete(descriptor, path)


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
            if what == WAITING:
                self._progress("waiting for an earlier compilation of this artifact to end", 0, len(self._labels))
                return
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


def _child_environment(profile: CompileProfile, compile_cache: Path | None) -> dict[str, str]:
    package_parent = str(Path(__file__).absolute().parents[3])
    environment = dict(os.environ)
    given = environment.get("PYTHONPATH", "")
    # absolute: the child has another working directory
    paths = [package_parent, *(str(Path(path).absolute()) for path in given.split(os.pathsep) if given)]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    environment |= cache_environment(environment, compile_cache and compile_cache / "neuron")
    # graphs are looked up by a hash of them: no set may give its items in another order each time
    environment.setdefault("PYTHONHASHSEED", "0")
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
    compile_one: Callable[..., Any], send_event: Callable[[str, str], None], jobs: int, lock: GraphLock
) -> Callable[..., Any]:
    """A compile function of NxD's, each graph under its lock, with at most `jobs` (0: any number) calls at once.

    It sends events for each.
    """
    slots = threading.Semaphore(jobs) if jobs else nullcontext()

    def run(*args: Any, **options: Any) -> Any:
        folder = "/".join(Path(options.get("work_dir") or options.get("compiler_workdir", "")).parts[-2:])
        if "retry_failed_compilation" in options:
            # the NEFF cache keeps a graph that once lacked memory as failed, and it would fail on any host
            options["retry_failed_compilation"] = True
        if "module_bytes" in options:
            options["module_bytes"] = sort_maps(options["module_bytes"])
        elif args and isinstance(args[0], bytes):  # of the priority graph
            args = (sort_maps(args[0]), *args[1:])
        with slots:
            send_event(STARTED, folder)
            try:
                with lock(options.get("cache_key") or ""):
                    made = compile_one(*args, **options)
            except BaseException:
                send_event(FAILED, folder)
                raise
            send_event(DONE, folder)
            return made

    return run


def sort_maps(module_bytes: bytes) -> bytes:
    """The same HLO with the entries of its maps in order, as a cache that hashes bytes needs it.

    Protobuf shuffles them in each process, and torch_xla gives every dot a map of two attributes.
    """
    message: Any = import_module("torch_neuronx.pyhlo.hlo_pb2").HloModuleProto
    ordered: bytes = message.FromString(module_bytes).SerializeToString(deterministic=True)
    return ordered


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

    # NxD empties its folder first. The lock is this process's until it ends: a killed parent's may outlive it shortly.
    lock_file = Path(request.lock_file)
    locks.acquire_exclusive(lock_file, lambda: send_event(WAITING, ""))
    cache = find_cache(os.environ)

    def lock(key: str) -> AbstractContextManager[None]:
        return lock_graph(lock_file.parent, cache, key) if key else nullcontext()

    def instrument(module: Any, name: str) -> None:
        if (compile_one := getattr(module, name)) is not None:  # NxD has None for what libneuronxla lacks
            setattr(module, name, instrument_compile(compile_one, send_event, request.jobs, lock))

    # NxD compiles a priority graph first, then all others at once, each in a thread, and last what changes weights
    builder: Any = import_module("neuronx_distributed.trace.model_builder")
    instrument(builder, "neuron_xla_compile")
    if request.profile.compiler.priority_graph:
        instrument(builder, "neuron_xla_wlo_compile")
        instrument(import_module("torch_neuronx.xla_impl.trace"), "generate_neff")
    from neuron_whisper.target.neuron.lowering.lowering import trace_graphs

    try:
        trace_graphs(request)
    except BaseException:
        traceback.print_exc()
        sys.stdout.flush()
        os._exit(1)  # or Python would wait for the graphs that other threads still compile


if __name__ == "__main__":
    main(Path(sys.argv[1]))
