"""What goes wrong around a Neuron artifact: the compiler killed, cores held, another SDK. Real processes are killed."""

from __future__ import annotations

import json
import os
import select
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import pytest
from safetensors.numpy import load_file, save_file

from neuron_whisper.cli.main import run
from neuron_whisper.errors import CompilerKilled
from neuron_whisper.planning.instances import TP_DEGREES
from neuron_whisper.profile import parse_profile
from neuron_whisper.target.neuron.compile_process import compile_in_child, graph_labels
from neuron_whisper.target.registry import missing_packages
from tests.support.stub_neuron import SDK_2_29, StubNeuron
from tests.support.tiny_models import TINY_DIMS, write_tiny_checkpoint
from tests.support.tiny_program import spec

SHAPES = ("--tp", "2", "--slots", "2", "--prompt-buckets", "4", "--set", "shapes.text_context=24")


@pytest.fixture(scope="session")
def two_heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that two ranks can share; do not change it."""
    dims = replace(TINY_DIMS, n_audio_state=128, n_text_state=128, n_audio_head=2, n_text_head=2)
    return write_tiny_checkpoint(tmp_path_factory.mktemp("models") / "two-heads.en", dims=dims)


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StubNeuron:
    if not missing_packages("neuron"):
        pytest.skip("the Neuron packages are installed: what a stub of them shows is not proved here")
    return StubNeuron(tmp_path, monkeypatch)


RunCompile = Callable[..., tuple[int, str, str]]


@pytest.fixture
def compile_it(capsys: pytest.CaptureFixture[str], tmp_path: Path, two_heads: Path, stub: StubNeuron) -> RunCompile:
    """`compile` of the tiny model, or of another, for the stub; exit code, stdout and stderr."""

    def call(*args: str, model: Path = two_heads) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run(["compile", "--model", str(model), *SHAPES, *args, "--cache", str(tmp_path / "cache")])
        return code, *capsys.readouterr()

    return call


def assert_nothing_is_left(cache: Path) -> None:
    assert list((cache / "artifacts").iterdir()) == []
    assert list((cache / "staging").iterdir()) == []


# --- the compiler ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "death",
    [
        "case $1 in */encode/*) kill -9 $$ ;; esac",
        'case $1 in */encode/*) echo "[F137] neuronx-cc was forcibly killed" >&2; exit 70 ;; esac',
        "case $1 in */encode/*) kill -9 $PPID ;; esac",
    ],
    ids=["neuronx-cc by a signal", "neuronx-cc by its own words", "the process that started it"],
)
def test_a_killed_compiler_is_reported_with_graph_memory_and_what_to_do(
    compile_it: RunCompile, stub: StubNeuron, tmp_path: Path, death: str
) -> None:
    stub.write_tool("neuronx-cc", death)
    code, out, err = compile_it("--jobs", "1")
    assert (code, out) == (2, "")
    assert "error: lowering encode 1 failed: the compiler was killed, as the system does when memory runs out (" in err
    assert " GB was available when it began)" in err
    for advice in ("add swap", "--instance inf2", "`artifacts export`"):
        assert advice in err
    assert_nothing_is_left(tmp_path / "cache")


def test_a_compiler_that_fails_is_reported_with_its_last_output(
    compile_it: RunCompile, stub: StubNeuron, tmp_path: Path
) -> None:
    stub.write_tool("neuronx-cc", "case $1 in */decode/*) echo 'NCC_EBVF030 too many instructions' >&2; exit 1 ;; esac")
    code, _, err = compile_it()
    assert code == 2
    assert "error: lowering decode 2 failed: the compile process ended with 1" in err
    assert "NCC_EBVF030 too many instructions" in err
    assert "killed" not in err
    assert_nothing_is_left(tmp_path / "cache")


def test_a_graph_that_failed_for_memory_once_is_tried_again(compile_it: RunCompile, stub: StubNeuron) -> None:
    """NxD lets libneuronxla reuse its cache, in which a killed compilation stays a failed one."""
    stub.write_tool("neuronx-cc", '[ "$2" = True ]')
    code, _, err = compile_it()
    assert code == 0, err


def test_nothing_of_the_compiler_outlives_the_command(compile_it: RunCompile, stub: StubNeuron, tmp_path: Path) -> None:
    """One graph fails; the others would go on for a day."""
    pids = tmp_path / "pids"
    stub.write_tool("neuronx-cc", f"echo $$ >> {pids}; case $1 in */decode/*) exit 1 ;; esac; exec sleep 86400")
    assert compile_it()[0] == 2
    for pid in map(int, pids.read_text().split()):
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        assert select.select([descriptor], [], [], 30)[0], "the compiler was killed"
        os.close(descriptor)


# --- the SDK and the instance ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("package", "version", "message"),
    [
        ("neuronx-cc", "2.27.5334.0", "neuronx-cc 2.27.5334.0 is of SDK 2.32, which has no PyTorch NeuronX;"),
        ("neuronx-cc", "2.30.1.0", "neuronx-cc 2.30.1.0 is of an SDK after 2.33;"),
        ("neuronx-cc", "1.0.post1", "neuronx-cc 1.0.post1 is a placeholder on PyPI"),
        ("torch-neuronx", "1.0", "torch-neuronx 1.0 is a placeholder on PyPI"),
        ("torch-neuronx", "2.14.3.0", "torch-neuronx 2.14.3.0 is TorchNeuron"),
    ],
)
def test_packages_that_do_not_work_are_refused_before_anything_is_fetched(
    compile_it: RunCompile, stub: StubNeuron, tmp_path: Path, package: str, version: str, message: str
) -> None:
    stub.install(SDK_2_29 | {package: version})
    code, _, err = compile_it("--dry-run")
    assert code == 4
    assert message in err
    assert "Neuron SDK 2.27 to 2.31.1 and 2.33 work here, with PyTorch NeuronX" in err
    assert 'pip install "torch-neuronx==2.9.0.2.15.*"' in err
    assert not (tmp_path / "cache").exists()


def test_mixed_packages_compile_with_a_warning(compile_it: RunCompile, stub: StubNeuron) -> None:
    stub.install(SDK_2_29 | {"neuronx-cc": "2.26.6360.0"})
    code, _, err = compile_it()
    assert code == 0
    assert "packages of different SDKs: torch-neuronx 2.9.0.2.13.26312 of 2.29" in err


@pytest.mark.parametrize(("instance", "is_listed"), [("inf2", True), ("trn1.2xlarge", True), ("trn2", False)])
def test_an_instance_that_the_sdk_has_no_torch_neuronx_for_compiles_with_a_warning(
    compile_it: RunCompile, stub: StubNeuron, instance: str, is_listed: bool
) -> None:
    sdk_2_33 = ("2.9.0.2.15.32035", "2.28.7631.0", "0.19.28492", "0.10.18399")
    stub.install(dict(zip(SDK_2_29, sdk_2_33, strict=True)))
    code, _, err = compile_it("--instance", instance)
    assert code == 0
    assert ("SDK 2.33 lists no PyTorch NeuronX for trn2; 2.27 to 2.31 do" in err) is not is_listed


@pytest.mark.parametrize(("instance", "is_listed"), [("trn1.2xlarge", False), ("inf2", True)])
def test_a_number_of_cores_that_the_runtime_may_refuse_compiles_with_a_warning(
    compile_it: RunCompile, monkeypatch: pytest.MonkeyPatch, instance: str, is_listed: bool
) -> None:
    monkeypatch.setitem(TP_DEGREES, "trn1", (1, 8))  # the small model cannot be split in four
    code, _, err = compile_it("--instance", instance)
    assert code == 0
    assert ("target.tp is 2, and AWS lists 1, 8 for trn1" in err) is not is_listed


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--weights-dtype", "float16"), "weights.dtype is float16 and target.dtype bfloat16"),
        (("--weights-dtype", "int8"), "weights.dtype is int8 and target.dtype bfloat16"),
        (("--instance", "g6.xlarge"), "target.instance is 'g6.xlarge'; allowed: a family (inf2, trn1"),
    ],
)
def test_what_no_neuron_artifact_can_be_is_refused_by_name(
    compile_it: RunCompile, tmp_path: Path, flags: tuple[str, str], message: str
) -> None:
    code, _, err = compile_it(*flags)
    assert code == 2
    assert message in err
    assert not (tmp_path / "cache").exists()


def test_an_output_projection_of_its_own_is_refused_and_nothing_is_compiled(
    compile_it: RunCompile, two_heads: Path, tmp_path: Path
) -> None:
    tuned = copytree(two_heads, tmp_path / "tuned.en")
    tensors = load_file(tuned / "model.safetensors")
    tensors["proj_out.weight"] = tensors["model.decoder.embed_tokens.weight"] + 1
    save_file(tensors, tuned / "model.safetensors")
    code, out, err = compile_it(model=tuned)
    assert (code, out) == (2, "")
    assert "an output projection that is the token embedding, on Neuron" in err
    assert_nothing_is_left(tmp_path / "cache")


def test_machines_of_a_family_share_an_artifact_and_families_do_not(compile_it: RunCompile, stub: StubNeuron) -> None:
    assert compile_it("--instance", "inf2.8xlarge")[0] == 0
    for same in (("--instance", "inf2.xlarge"), ("--instance", "inf2"), ()):
        assert json.loads(compile_it(*same, "--dry-run", "--json")[1])["status"] == "hit", same
    answer = json.loads(compile_it("--instance", "trn1", "--explain", "--json")[1])
    assert answer["status"] == "miss"
    assert answer["explain"]["differences"] == [{"fact": "profile.target.instance", "stored": "inf2", "now": "trn1"}]
    stub.install(SDK_2_29 | {"neuronx-cc": "2.24.8799.0"})
    answer = json.loads(compile_it("--explain", "--json")[1])
    assert answer["explain"]["differences"] == [
        {"fact": "toolchain.neuronx-cc", "stored": "2.24.5133.0", "now": "2.24.8799.0"}
    ]


def test_flags_alone_give_the_profile_of_that_instance(
    stub: StubNeuron, capsys: pytest.CaptureFixture[str], two_heads: Path, tmp_path: Path
) -> None:
    keys = []
    for flags in (("--target", "neuron", "--tp", "2"), ("--profile", "neuron-base-inf2.xlarge-tp2")):
        args = ["compile", "--model", str(two_heads), *flags, "--dry-run", "--json", "--cache", str(tmp_path)]
        assert run(args) == 0
        keys.append(json.loads(capsys.readouterr().out)["key"])
    assert keys[0] == keys[1]


def test_an_instance_makes_no_sense_for_the_cpu(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["compile", "--profile", "cpu", "--instance", "inf2", "--cache", str(tmp_path / "cache")]) == 2
    assert "only a neuron artifact is for one" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # of PyTorch after the SDK's 2.9
def test_the_runtimes_message_for_a_failed_load_reaches_the_user(
    compile_it: RunCompile, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    if Path("/dev/neuron0").exists():
        pytest.skip("a Neuron device is here: the message without one is not proved")
    assert compile_it()[0] == 0
    code = run(["artifacts", "verify", "--run", "--cache", str(tmp_path / "cache")])
    message = capsys.readouterr().out
    assert code == 3
    assert "the Neuron runtime could not load the graphs (NEURON_RT_NUM_CORES=2)" in message
    assert "NeuronCore(s) not available - Requested:2 Available:0" in message
    assert "There is no /dev/neuron*" in message


# --- NxD's own builder, in the simulator ----------------------------------------------------------

COMPILER = """
import runpy, subprocess, sys
from pathlib import Path

mine = Path(__file__).parent
simulator = next(it for it in map(Path, sys.path) if it != mine and (it / "sitecustomize.py").is_file())
runpy.run_path(str(simulator / "sitecustomize.py"))

from neuronx_distributed.trace import model_builder

compiled = model_builder.neuron_xla_compile


def neuron_xla_compile(*args, work_dir, **options):
    assert options["retry_failed_compilation"]
    with open(mine / "log", "a") as log:
        log.write(f"in {work_dir}\\n")
        log.flush()
        done = subprocess.run(["sh", "-c", f"case {work_dir} in */SUSPECT/*) kill -9 $$ ;; esac"])
        log.write(f"out {work_dir}\\n")
    if done.returncode:
        raise RuntimeError(f"neuronx-cc failed with {done.returncode}")
    return compiled(*args, work_dir=work_dir, **options)


model_builder.neuron_xla_compile = neuron_xla_compile
"""


@pytest.mark.skipif(
    bool(missing_packages("neuron")), reason="no simulator/Neuron packages: that NxD's builder is bounded is not proved"
)
@pytest.mark.parametrize("suspect", ["encode", "none"])
def test_nxds_builder_compiles_one_graph_at_a_time_and_a_kill_there_is_reported(
    suspect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(COMPILER.replace("SUSPECT", suspect))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ['PYTHONPATH']}")
    profile = parse_profile('format = 1\n[target]\nname = "neuron"')
    steps: list[tuple[str, int, int | None]] = []

    def compile_all() -> None:
        compile_in_child(spec(), profile, tmp_path / "graphs.pt", lambda *step: steps.append(step), jobs=1)

    if suspect == "encode":
        with pytest.raises(CompilerKilled) as killed:
            compile_all()
        assert killed.value.graph in ("encode 1", "encode 2")
        assert not (tmp_path / "graphs.pt").exists()
        return
    compile_all()
    assert (tmp_path / "graphs.pt").is_file()
    graphs = len(graph_labels(spec()))
    assert steps[-1] == ("compiling graphs", graphs, graphs)
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == 2 * graphs
    assert all(lines[i].removeprefix("in") == lines[i + 1].removeprefix("out") for i in range(0, len(lines), 2))
