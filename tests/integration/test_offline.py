"""With model and artifact on the machine, no command looks a name up, leaves loopback, or writes where nobody asked."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.support.manifests import write_speech
from tests.support.process_audit import Audit, AuditReport, can_trace, make_audit, run_audited, serve_audited

COMMANDS = ("compile", "transcribe", "transcribe-hub", "serve", "bench")
HUB_MODEL = "someone/tiny-random.en"
REMOTE = "192.0.2.1"  # TEST-NET-1 of RFC 5737: nobody's
WITNESSES: dict[str, Callable[[Audit], AuditReport]] = {"python": Audit.python_report, "system": Audit.system_report}


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_speech(tmp_path_factory.mktemp("speech"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("offline")


def write_hub_cache(hub: Path, checkpoint: Path) -> Path:
    """huggingface_hub's cache with HUB_MODEL in it, as a download leaves it."""
    repository = hub / "hub" / f"models--{HUB_MODEL.replace('/', '--')}"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(checkpoint)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(snapshot.name)
    return hub


@pytest.fixture(scope="module")
def audits(folder: Path, speech: Path, tiny_checkpoint: Path, tiny_profile: Path) -> dict[str, Audit]:
    """Each command run once, in a home of its own; they share a cache, which the first one fills."""
    made = {command: make_audit(folder / command) for command in COMMANDS}
    cache = ("--cache", folder / "cache")
    model = ("--model", tiny_checkpoint, "--profile", tiny_profile)
    hub = write_hub_cache(folder / "hub", tiny_checkpoint)
    outputs = {
        "compile": run_audited(made["compile"], "compile", *model, *cache),
        "transcribe": run_audited(made["transcribe"], "transcribe", speech / "a.wav", *model, *cache, "-o", "out"),
        "transcribe-hub": run_audited(
            *(made["transcribe-hub"], "transcribe", speech / "a.wav", "--model", HUB_MODEL, *model[2:], *cache),
            HF_HOME=str(hub),
        ),
        "bench": run_audited(
            *(made["bench"], "bench", speech / "speech.jsonl", *model, *cache, "--runs", 1, "--temperature", 0),
            *("--limit", 1, "--threads", 1, "--json", made["bench"].work / "report.json"),
        ),
    }
    assert {name: done.returncode for name, done in outputs.items()} == dict.fromkeys(outputs, 0), outputs
    with serve_audited(made["serve"], *model, *cache, "--replicas", 2) as url:
        with (speech / "a.wav").open("rb") as file:
            # no TLS, whose context takes long to make
            answer = httpx.post(f"{url}/v1/audio/transcriptions", files={"file": file}, timeout=60, verify=False)
        assert answer.status_code == 200, answer.text
    return made


@pytest.fixture(params=WITNESSES)
def witness(request: pytest.FixtureRequest) -> Callable[[Audit], AuditReport]:
    if request.param == "system" and not can_trace():
        pytest.skip("no strace, or it may not trace: what C++ libraries do to network and files is not proved")
    return WITNESSES[request.param]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_looks_no_name_up(
    audits: dict[str, Audit], command: str, witness: Callable[[Audit], AuditReport]
) -> None:
    assert witness(audits[command]).lookups == ()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_tries_no_connection_beyond_loopback(
    audits: dict[str, Audit], command: str, witness: Callable[[Audit], AuditReport]
) -> None:
    assert witness(audits[command]).remote == ()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_writes_to_the_cache_temporary_files_and_its_outputs_alone(
    audits: dict[str, Audit], command: str, witness: Callable[[Audit], AuditReport], folder: Path
) -> None:
    audit = audits[command]
    outputs = [audit.work / "out", audit.work / "report.json"]
    allowed = [folder / "cache", audit.temporary, folder / command / "audit.jsonl", *outputs]
    assert witness(audit).written_outside(*allowed) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_leaves_nothing_in_the_home_directory_and_no_temporary_file(
    audits: dict[str, Audit], command: str
) -> None:
    assert list(audits[command].home.rglob("*")) == []
    assert list(audits[command].temporary.rglob("*")) == []


def test_every_process_of_ours_was_seen_by_the_audit(audits: dict[str, Audit]) -> None:
    lines = (audits["serve"].folder / "audit.jsonl").read_text().splitlines()
    started = [args for _, event, args in map(json.loads, lines) if event == "subprocess.Popen"]
    assert sum("neuron_whisper.engine.worker" in str(args) for args in started) == 2


def test_a_lookup_a_connection_and_a_file_in_the_home_directory_are_seen(
    tmp_path: Path, witness: Callable[[Audit], AuditReport]
) -> None:
    audit = make_audit(tmp_path / "control")
    code = f"""
import os, pathlib, socket
pid = os.fork()
if not pid:
    pathlib.Path.home().joinpath("intel").mkdir()
    try: socket.getaddrinfo("name.invalid", 443)
    except OSError: pass
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try: udp.connect(("{REMOTE}", 9))
    except OSError: pass
    os._exit(0)
os.waitpid(pid, 0)
"""
    command = audit.command()
    at = command.index("-m")
    subprocess.run([*command[:at], "-c", code], env=audit.environment(), cwd=audit.work, check=True)
    report = witness(audit)
    assert report.lookups
    assert REMOTE in report.remote
    assert report.written_outside(audit.temporary, audit.folder / "audit.jsonl") == [audit.home / "intel"]


def test_openvino_takes_its_stub_for_telemetry_in_every_process_that_imports_this_package() -> None:
    code = (
        "import sys, neuron_whisper, openvino.tools.ovc.telemetry_utils as utils\n"
        "print(utils.tm.__name__, sys.modules['openvino_telemetry'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["openvino.tools.ovc.telemetry_stub", "None"]


def test_telemetry_that_a_program_has_chosen_before_is_left_alone() -> None:
    code = "import sys, types; mine = types.ModuleType('openvino_telemetry'); sys.modules[mine.__name__] = mine\n"
    code += "import neuron_whisper; print(sys.modules['openvino_telemetry'] is mine)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
