"""The command line: what it prints where, with which exit code, and what it leaves on disk."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from neuron_whisper.cli.main import run, to_exit_code
from neuron_whisper.cli.output import format_bytes
from neuron_whisper.cli.progress import PlainProgress
from neuron_whisper.errors import (
    ArtifactNotFound,
    DeviceError,
    EngineDraining,
    InvalidOption,
    ProfileError,
    TargetUnavailable,
    UnknownModel,
)
from neuron_whisper.target.registry import missing_packages
from tests.support.tiny_models import tiny_checkpoint, tiny_profile

__all__ = ["tiny_checkpoint", "tiny_profile"]  # fixtures

LABEL = "tiny-random.en"


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


Cli = Callable[..., Done]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """Runs a command line in this process; the log is put back as it was."""
    logger = logging.getLogger("neuron_whisper")
    before = logger.level, logger.handlers[:]

    def call(*args: object) -> Done:
        capsys.readouterr()
        code = run([str(arg) for arg in args])
        return Done(code, *capsys.readouterr())

    yield call
    logger.setLevel(before[0])
    logger.handlers[:] = before[1]


def child(*args: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "neuron_whisper", *map(str, args)]
    return subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=120)


def in_child(code: str, *args: object) -> str:
    """What the code prints, with `run` and the arguments as `args`."""
    source = f"import sys\nfrom neuron_whisper.cli.main import run\nargs = sys.argv[1:]\n{code}"
    command = [sys.executable, "-c", source, *map(str, args)]
    return subprocess.run(command, capture_output=True, check=True, timeout=120, text=True).stdout


@pytest.fixture(scope="module")
def compiled(
    tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path, tiny_profile: Path
) -> tuple[Path, subprocess.CompletedProcess[bytes]]:
    """A cache in which `compile` put one artifact, and what that command said."""
    cache = tmp_path_factory.mktemp("cli") / "cache"
    done = child("compile", "--model", tiny_checkpoint, "--profile", tiny_profile, "--cache", cache)
    assert done.returncode == 0, done.stderr.decode()
    return cache, done


@pytest.fixture(scope="module")
def cache(compiled: tuple[Path, subprocess.CompletedProcess[bytes]]) -> Path:
    """Do not change it."""
    return compiled[0]


@pytest.fixture
def own_cache(cache: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(cache, tmp_path / "cache"))


def tone(seconds: float = 1.0) -> bytes:
    """A wav file, 16 kHz mono."""
    samples = 8000 * np.sin(np.arange(int(16_000 * seconds)) * 0.17)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(samples.astype("<i2").tobytes())
    return buffer.getvalue()


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    path = tmp_path / "tone.wav"
    path.write_bytes(tone())
    return path


# --- the whole ------------------------------------------------------------------------------------


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    heavy = ("openvino", "torch", "litestar", "av", "numpy", "msgspec", "huggingface_hub", "tokenizers")
    printed = in_child(f"run(['--help'])\nprint('HEAVY', [name for name in {heavy} if name in sys.modules])")
    for name in ("compile", "fetch", "artifacts", "transcribe", "serve", "doctor", "demo"):
        assert f" {name} " in printed
    assert "HEAVY []" in printed


def test_every_kind_of_error_has_its_exit_code() -> None:
    errors = (
        UnknownModel("bas", ["base"]),
        InvalidOption("task", "sing", "one of two"),
        ProfileError("cpu", "no"),
        ArtifactNotFound("x"),
        TargetUnavailable("neuron", "no"),
        EngineDraining(),
        DeviceError("gone"),
    )
    assert [to_exit_code(error) for error in errors] == [1, 2, 2, 3, 4, 5, 70]


def test_a_wrong_flag_is_one_line_on_stderr_and_exit_code_2(cli: Cli) -> None:
    done = cli("transcribe", "--bogus", "a.wav")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: No such option")
    assert done.err.count("\n") == 1


def test_a_traceback_is_shown_with_verbose_only(cli: Cli, tmp_path: Path) -> None:
    assert "Traceback" not in cli("artifacts", "show", "nothing", "--cache", tmp_path / "none").err
    done = cli("artifacts", "show", "nothing", "--cache", tmp_path / "none", "--verbose")
    assert done.code == 3
    assert "Traceback" in done.err
    assert done.err.endswith("error: no artifact 'nothing'; none is stored\n")


def test_bytes_are_written_in_decimal_units() -> None:
    assert [format_bytes(n) for n in (0, 999, 1000, 999_949, 999_960, 145_217_607, 5 * 10**15)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "999.9 kB",
        "1.0 MB",
        "145.2 MB",
        "5000.0 TB",
    ]


def test_progress_without_a_terminal_is_a_line_for_each_step_and_each_quarter_of_bytes() -> None:
    lines: list[str] = []
    steps = PlainProgress("steps", lines.append)
    for done, what in enumerate(("encode", "decode")):
        steps(what, done, 2)
    downloaded = PlainProgress("bytes", lines.append)
    for percent in range(101):
        downloaded("base", percent * 1000, 100_000)
    assert lines == [
        "encode (0 of 2 done)",
        "decode (1 of 2 done)",
        "base: 0 B of 100.0 kB",
        "base: 25.0 kB of 100.0 kB",
        "base: 50.0 kB of 100.0 kB",
        "base: 75.0 kB of 100.0 kB",
        "base: 100.0 kB of 100.0 kB",
    ]


# --- compile --------------------------------------------------------------------------------------


def test_compile_prints_the_directory_on_stdout_and_its_steps_on_stderr(
    compiled: tuple[Path, subprocess.CompletedProcess[bytes]],
) -> None:
    cache, done = compiled
    directory = Path(done.stdout.decode().removesuffix("\n"))
    assert directory.parent == cache / "artifacts"
    assert directory.name.startswith(f"{LABEL}-cpu-tp1-")
    assert (directory / "manifest.json").is_file()
    assert "lowering encode_1 (0 of " in done.stderr.decode()
    assert cache.stat().st_mode & 0o777 == 0o700


def test_the_second_compile_is_a_hit_within_2_seconds_and_without_torch(
    cache: Path, tiny_checkpoint: Path, tiny_profile: Path
) -> None:
    args = ("compile", "--model", tiny_checkpoint, "--profile", tiny_profile, "--cache", cache, "--json")
    code = "run(args)\nprint('torch' in sys.modules)"
    took_s = []
    for _ in range(3):  # other work on this machine may slow one run
        started = time.perf_counter()
        *answer, has_torch = in_child(code, *args).splitlines()
        took_s.append(time.perf_counter() - started)
        assert json.loads("".join(answer))["status"] == "hit"
        assert has_torch == "False"
        if took_s[-1] < 2:
            break
    assert min(took_s) < 2


def test_tp_2_without_neuron_packages_says_what_to_install_and_what_works_here(cli: Cli, tmp_path: Path) -> None:
    if not missing_packages("neuron"):
        pytest.skip("the Neuron packages are installed: nothing is missing to be told of")
    done = cli("compile", "--tp", "2", "--cache", tmp_path / "cache")
    assert (done.code, done.out) == (4, "")
    assert 'pip install "neuron-whisper[neuron]" --extra-index-url https://pip.repos.neuron.amazonaws.com' in done.err
    assert "targets that work here: cpu" in done.err
    assert not (tmp_path / "cache").exists()  # nothing was downloaded first


def test_an_unknown_model_is_answered_with_close_names(cli: Cli, tmp_path: Path) -> None:
    done = cli("compile", "--model", "tinny.en", "--cache", tmp_path)
    assert (done.code, done.out) == (1, "")
    assert "no model named 'tinny.en'; known here: tiny.en, tiny" in done.err


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (("--profile", "cpu", "--tp", "2"), 2, "target.tp is 2; the cpu target takes 1"),
        (("--profile", "gpu"), 2, "gpu: no such profile; known: cpu"),
        (("--set", "shapes.slot=4"), 2, "unknown field `slot`"),
        (("--set", "slots"), 2, "--set: 'slots' is not allowed; table.key=value"),
        (("--dtype", "float8"), 2, "found 'float8'"),
        (("--prompt-buckets", "4,x"), 2, "'4,x' is not a list of whole numbers"),
        (("--slots", "0"), 2, "0 is not in the range"),
        (("--model", "/nowhere/model"), 1, "/nowhere/model does not exist"),
    ],
)
def test_a_wrong_compile_flag_is_named_before_any_work(
    cli: Cli, tmp_path: Path, flags: tuple[str, ...], code: int, message: str
) -> None:
    done = cli("compile", *flags, "--cache", tmp_path / "cache")
    assert (done.code, done.out) == (code, "")
    assert message in done.err


def test_dry_run_tells_sizes_key_and_hit_or_miss(
    cli: Cli, cache: Path, tiny_checkpoint: Path, tiny_profile: Path
) -> None:
    args = ("compile", "--model", tiny_checkpoint, "--profile", tiny_profile, "--cache", cache, "--dry-run")
    hit = cli(*args)
    assert hit.code == 0
    assert "status     hit: " in hit.out
    assert "slots 2, beams 1, encode batch 1, prompt buckets 4, 16, text context 24" in hit.out
    # 1 layer, 1500 positions, 64 channels, keys and values, 4 bytes; and the same of 24 positions
    assert "cross-K/V 768.0 kB, self-K/V 12.3 kB" in hit.out
    assert 'dtype = "float32"' in hit.out
    miss = json.loads(cli(*args, "--json", "--slots", "4", "--dtype", "bfloat16").out)
    assert (miss["status"], miss["path"]) == ("miss", None)
    assert miss["bytes_per_slot"] == {"cross": 384_000, "self": 6_144}
    assert miss["memory"]["caches_bytes"] == 4 * 390_144
    assert miss["spec"]["slots"] == 4
    assert miss["name"].endswith(miss["key"][:16])
    assert len(list((cache / "artifacts").iterdir())) == 1


def test_explain_names_the_facts_that_differ_from_the_nearest_artifact(
    cli: Cli, cache: Path, tiny_checkpoint: Path, tiny_profile: Path
) -> None:
    args = ("compile", "--model", tiny_checkpoint, "--profile", tiny_profile, "--cache", cache, "--explain")
    assert f"No fact differs from {LABEL}-cpu-tp1-" in cli(*args).out
    done = cli(*args, "--slots", "4", "--set", "shapes.align=true")
    assert done.code == 0
    assert done.out.splitlines()[-2:] == [
        "  profile.shapes.align: stored False, now True",
        "  profile.shapes.slots: stored 2, now 4",
    ]
    explained = json.loads(cli(*args, "--slots", "4", "--json").out)["explain"]
    assert explained["nearest"].startswith(LABEL)
    assert explained["differences"] == [{"fact": "profile.shapes.slots", "stored": 2, "now": 4}]


def test_explain_with_nothing_stored_says_so(
    cli: Cli, tmp_path: Path, tiny_checkpoint: Path, tiny_profile: Path
) -> None:
    args = ("--model", tiny_checkpoint, "--profile", tiny_profile, "--cache", tmp_path / "cache")
    assert "No stored artifact" in cli("compile", *args, "--explain").out


def test_the_reference_target_needs_no_profile_of_its_own(cli: Cli, tmp_path: Path, tiny_checkpoint: Path) -> None:
    args = ("--model", tiny_checkpoint, "--target", "reference", "--cache", tmp_path / "cache")
    answer = json.loads(cli("compile", *args, "--dry-run", "--json").out)
    assert answer["profile"]["target"] == {"name": "reference", "tp": 1, "dtype": "float32", "instance": ""}


# --- fetch ----------------------------------------------------------------------------------------


def test_fetch_prints_the_checked_directory_and_nothing_else(cli: Cli, tmp_path: Path, tiny_checkpoint: Path) -> None:
    assert cli("fetch", tiny_checkpoint, "--cache", tmp_path / "cache") == Done(0, f"{tiny_checkpoint}\n", "")
    answer = json.loads(cli("fetch", tiny_checkpoint, "--json", "--cache", tmp_path / "cache").out)
    assert (answer["format"], answer["dims"]["n_vocab"]) == ("huggingface", 51864)


def test_fetch_refuses_a_damaged_checkpoint(cli: Cli, tmp_path: Path, tiny_checkpoint: Path) -> None:
    damaged = Path(shutil.copytree(tiny_checkpoint, tmp_path / "damaged"))
    with (damaged / "model.safetensors").open("r+b") as file:
        file.truncate(1000)
    done = cli("fetch", damaged, "--cache", tmp_path / "cache")
    assert (done.code, done.out) == (2, "")
    assert str(damaged / "model.safetensors") in done.err


# --- artifacts ------------------------------------------------------------------------------------


def test_artifacts_are_listed_and_shown_by_label(cli: Cli, cache: Path) -> None:
    listed = cli("artifacts", "list", "--cache", cache)
    header, row = listed.out.splitlines()
    assert header.split() == ["NAME", "SLOTS", "WEIGHTS", "SIZE", "CREATED"]
    assert row.startswith(f"{LABEL}-cpu-tp1-")
    (summary,) = json.loads(cli("artifacts", "list", "--json", "--cache", cache).out)["artifacts"]
    assert summary["name"] == row.split()[0]
    shown = cli("artifacts", "show", LABEL, "--cache", cache).out
    assert f"key        {summary['key']}" in shown
    assert "tokenizer.json" in shown
    assert json.loads(cli("artifacts", "show", LABEL, "--json", "--cache", cache).out)["key"] == summary["key"]


def test_a_flipped_byte_is_found_by_verify_and_refused_by_transcribe(cli: Cli, own_cache: Path, wav: Path) -> None:
    assert cli("artifacts", "verify", "--cache", own_cache).code == 0
    (directory,) = (own_cache / "artifacts").iterdir()
    weights = directory / "weights" / "weights.bin"
    content = bytearray(weights.read_bytes())
    content[1000] ^= 1
    weights.write_bytes(content)
    done = cli("artifacts", "verify", LABEL, "--json", "--cache", own_cache)
    assert done.code == 3
    (result,) = json.loads(done.out)
    assert not result["sound"]
    assert "weights.bin: expected" in result["problems"][0]
    refused = cli("transcribe", wav, "--artifact", LABEL, "--cache", own_cache)
    assert (refused.code, refused.out) == (3, "")
    assert "weights.bin" in refused.err


def test_prune_says_what_it_would_remove_and_then_removes_it(cli: Cli, own_cache: Path) -> None:
    assert json.loads(cli("artifacts", "prune", "--json", "--cache", own_cache).out)["removed"] == []
    dry = cli("artifacts", "prune", "--all", "--dry-run", "--cache", own_cache)
    assert dry.out.startswith(f"{LABEL}-cpu-tp1-")
    assert len(list((own_cache / "artifacts").iterdir())) == 1
    assert cli("artifacts", "prune", "--all", "--cache", own_cache).code == 0
    assert list((own_cache / "artifacts").iterdir()) == []


def test_an_export_through_a_pipe_is_imported_elsewhere(cli: Cli, cache: Path, tmp_path: Path) -> None:
    exported = child("artifacts", "export", LABEL, "-", "--cache", cache)
    assert exported.returncode == 0
    imported = child("artifacts", "import", "-", "--cache", tmp_path / "other", stdin=exported.stdout)
    assert imported.returncode == 0
    assert (Path(imported.stdout.decode().strip()) / "manifest.json").is_file()
    file = tmp_path / "artifact.tar"
    assert cli("artifacts", "export", LABEL, file, "--cache", cache).code == 0
    assert file.read_bytes() == exported.stdout
    file.write_bytes(exported.stdout[:-2000])
    assert cli("artifacts", "import", file, "--cache", tmp_path / "third").code == 3


def test_a_umask_that_lets_the_group_write_makes_no_artifact_unusable(cli: Cli, cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "artifact.tar"
    assert cli("artifacts", "export", LABEL, file, "--cache", cache).code == 0
    before = os.umask(0o002)
    try:
        assert cli("artifacts", "import", file, "--cache", tmp_path / "other").code == 0
    finally:
        os.umask(before)


# --- transcribe -----------------------------------------------------------------------------------


def test_one_bad_file_does_not_stop_the_others_and_answers_keep_their_order(
    cli: Cli, cache: Path, wav: Path, tmp_path: Path
) -> None:
    bad, longer = tmp_path / "bad.wav", tmp_path / "longer.wav"
    bad.write_bytes(b"this is no audio")
    longer.write_bytes(tone(3.5))
    done = cli("transcribe", longer, bad, wav, "--artifact", LABEL, "--format", "verbose_json", "--cache", cache)
    assert done.code == 1
    assert [json.loads(line)["duration"] for line in done.out.splitlines()] == [3.5, 1.0]
    assert f"error: {bad}: " in done.err
    assert done.err.endswith("1 of 3 files failed\n")
    assert "Traceback" not in done.err


def test_a_terminal_shows_what_a_pipe_gets(cache: Path, wav: Path) -> None:
    args = ("transcribe", str(wav), "--artifact", LABEL, "--cache", str(cache), "--no-vad")
    piped = child(*args)
    terminal, end = pty.openpty()
    subprocess.run(
        [sys.executable, "-m", "neuron_whisper", *args], stdout=end, stderr=subprocess.DEVNULL, check=True, timeout=300
    )
    os.close(end)
    shown = os.read(terminal, 1 << 16).decode().replace("\r\n", "\n")
    os.close(terminal)
    assert shown == piped.stdout.decode() != ""


def test_output_dir_gets_one_file_for_each_format_and_stdout_nothing(
    cli: Cli, cache: Path, wav: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    args = ("--artifact", LABEL, "--output-dir", out, "-f", "srt,json", "-f", "txt", "--cache", cache)
    done = cli("transcribe", wav, *args)
    assert (done.code, done.out) == (0, "")
    assert sorted(path.name for path in out.iterdir()) == ["tone.json", "tone.srt", "tone.txt"]
    assert list(json.loads((out / "tone.json").read_text())) == ["text", "segments", "language"]


def test_stdin_and_samples_without_a_header_are_heard_as_the_file_is(cli: Cli, cache: Path, wav: Path) -> None:
    args = ("--artifact", LABEL, "-f", "verbose_json", "--quiet", "--cache", cache)
    of_file = cli("transcribe", wav, *args)
    of_stdin = child("transcribe", "-", *args, stdin=wav.read_bytes())
    of_raw = child("transcribe", "-", "--raw", "s16le:16000:1", *args, stdin=wav.read_bytes()[44:])
    assert of_file.out
    assert (of_stdin.stdout.decode(), of_stdin.stderr) == (of_file.out, b"")
    assert of_raw.stdout == of_stdin.stdout


def test_a_model_that_is_compiled_is_transcribed_with_and_a_hit_says_nothing(
    cli: Cli, cache: Path, wav: Path, tiny_checkpoint: Path, tiny_profile: Path
) -> None:
    args = ("--model", tiny_checkpoint, "--profile", tiny_profile, "--cache", cache)
    done = cli("transcribe", wav, *args, "-f", "json")
    assert done.code == 0
    assert "compiling" not in done.err
    assert done.out == cli("transcribe", wav, "-f", "json", "--artifact", LABEL, "--cache", cache).out


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("a.wav", "--artifact", "x", "--model", "base"), 2, "--model cannot be combined with --artifact"),
        (("a.wav", "--artifact", "x", "--profile", "cpu"), 2, "--profile cannot be combined with --artifact"),
        (("a.wav", "-f", "srt,vtt"), 2, "Several formats need --output-dir"),
        (("a.wav", "-f", "json,verbose_json", "-o", "out"), 2, "both written to <stem>.json"),
        (("a.wav", "-f", "docx"), 2, "format: 'docx' is not allowed"),
        (("-", "-"), 2, "Stdin (-) can be read only once"),
        (("one/talk.wav", "two/talk.mp3", "-o", "out"), 2, "one/talk.wav and two/talk.mp3 would both be written"),
        (("a.wav", "--raw", "s12le"), 2, "--raw: 's12le' is not allowed"),
        (("a.wav", "--language", "klingon"), 2, "language: 'klingon' is not allowed"),
        (("a.wav", "--artifact", "nothing"), 3, "no artifact 'nothing'"),
        ((), 2, "Missing argument"),
    ],
)
def test_what_cannot_be_transcribed_is_refused_before_anything_is_opened(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], code: int, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli("transcribe", *args, "--cache", tmp_path / "cache")
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_with_130_even_while_stdin_is_waited_for(cache: Path, wav: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "neuron_whisper",
        "transcribe",
        str(wav),
        "-",
        "-f",
        "json",
        "--artifact",
        LABEL,
        "--cache",
        str(cache),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b'{"text":')  # the first file is done, stdin stays open
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read().endswith(b"interrupted\n")


# --- serve ----------------------------------------------------------------------------------------


def test_serve_tells_its_address_when_it_listens_and_ends_cleanly_on_sigterm(cache: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "neuron_whisper",
        "serve",
        "--artifact",
        LABEL,
        "--port",
        "0",
        "--quiet",
        "--cache",
        str(cache),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.readline().startswith("listening on http://127.0.0.1:")
        process.terminate()
        assert process.wait(60) == 0
        assert process.stdout.read() == ""


def test_serve_names_an_upload_limit_that_is_none(cli: Cli) -> None:
    done = cli("serve", "--max-upload", "25 parsecs")
    assert done.code == 2
    assert "max_upload_bytes: '25 parsecs' is not allowed; a whole number" in done.err
    assert "or a size such as 25MB (from --max-upload)" in done.err


# --- demo -----------------------------------------------------------------------------------------


def test_the_demo_serves_a_given_recording_and_prints_its_figures(
    cli: Cli, cache: Path, wav: Path, tiny_checkpoint: Path, tiny_profile: Path
) -> None:
    done = cli("demo", "--model", tiny_checkpoint, "--profile", tiny_profile, "--speech", wav, "--cache", cache)
    assert done.code == 0, done.err
    lines = dict(line.split(maxsplit=1) for line in done.out.splitlines() if len(line.split(maxsplit=1)) == 2)
    assert lines["speech"] == str(wav)
    assert lines["audio"] == "1.00 s"
    assert lines["artifact"].startswith(LABEL)
    assert float(lines["RTF"]) > 0
    assert "server: stopped" in done.err
