"""The command line: what it prints where, with which exit code, and what it leaves on disk."""

from __future__ import annotations

import io
import json
import os
import pty
import shlex
import shutil
import signal
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from neuron_whisper.cli.context import CliContext
from neuron_whisper.cli.demo.serving import DemoFailed, run_server
from tests.support.cli_runs import Cli, run_child, run_in_child
from tests.support.tiny_models import tiny_weights, write_tiny_checkpoint

LABEL = "tiny-random.en"


@pytest.fixture(scope="module")
def compiled(
    tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path, tiny_profile: Path
) -> tuple[Path, subprocess.CompletedProcess[bytes]]:
    """A cache in which `compile` put one artifact, and what that command said."""
    cache = tmp_path_factory.mktemp("cli") / "cache"
    done = run_child("compile", "--model", tiny_checkpoint, "--profile", tiny_profile, "--cache", cache)
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


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    heavy = ("openvino", "torch", "litestar", "av", "numpy", "msgspec", "huggingface_hub", "tokenizers")
    printed = run_in_child(f"run(['--help'])\nprint('HEAVY', [name for name in {heavy} if name in sys.modules])")
    for name in ("compile", "fetch", "artifacts", "transcribe", "serve", "doctor", "demo"):
        assert f" {name} " in printed
    assert "HEAVY []" in printed


def test_transcribe_imports_no_server_and_no_scipy(
    compiled: tuple[Path, subprocess.CompletedProcess[bytes]], wav: Path
) -> None:
    _, done = compiled
    artifact = done.stdout.decode().removesuffix("\n")
    heavy = ("litestar", "sqlalchemy", "prometheus_client", "scipy", "torch")
    code = f"run(args)\nprint('HEAVY', [name for name in {heavy} if name in sys.modules])"
    assert "HEAVY []" in run_in_child(code, "transcribe", wav, "--artifact", artifact)


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


def test_the_second_compile_is_a_hit_without_torch_in_2_seconds_of_processor_time(
    cache: Path, tiny_checkpoint: Path, tiny_profile: Path
) -> None:
    args = ("compile", "--model", tiny_checkpoint, "--profile", tiny_profile, "--cache", cache, "--json")
    code = "import time\nrun(args)\nprint('torch' in sys.modules, time.process_time())"
    *answer, last = run_in_child(code, *args).splitlines()
    assert json.loads("".join(answer))["status"] == "hit"
    has_torch, cpu_s = last.split()
    assert has_torch == "False"
    assert float(cpu_s) < 2


def test_an_earlier_profile_name_gives_todays_artifact_and_one_line_about_it(
    tmp_path: Path, tiny_checkpoint: Path
) -> None:
    args = ("compile", "--dry-run", "--json", "--quiet", "--model", tiny_checkpoint, "--cache", tmp_path, "--profile")
    earlier, current = run_child(*args, "cpu-float32"), run_child(*args, "cpu-exact")
    assert json.loads(earlier.stdout) == json.loads(current.stdout)
    [line] = earlier.stderr.decode().splitlines()
    assert "cpu-float32 leads to cpu-exact" in line
    assert current.stderr == b""


def test_dry_run_prints_sizes_key_and_hit_or_miss(
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


def test_artifacts_are_listed_and_shown_by_label(cli: Cli, cache: Path) -> None:
    listed = cli("artifacts", "list", "--cache", cache)
    header, row = listed.out.splitlines()
    assert header.split() == ["NAME", "PROFILE", "SIZE", "CREATED"]
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
    exported = run_child("artifacts", "export", LABEL, "-", "--cache", cache)
    assert exported.returncode == 0
    imported = run_child("artifacts", "import", "-", "--cache", tmp_path / "other", stdin=exported.stdout)
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


def test_a_range_behind_the_end_of_a_file_is_refused_for_that_file(
    cli: Cli, cache: Path, wav: Path, tmp_path: Path
) -> None:
    longer = tmp_path / "longer.wav"
    longer.write_bytes(tone(3.5))
    done = cli("transcribe", wav, longer, "--artifact", LABEL, "--clip-timestamps", "2,3", "--cache", cache)
    assert done.code == 2
    assert f"error: {wav}: clip_timestamps: [2.0, 3.0] is not allowed" in done.err
    assert f"error: {longer}" not in done.err


@pytest.mark.parametrize(
    ("flag", "value"),
    [("--channel", "2"), ("--audio-track", "5"), ("--audio-track", "fr"), ("--clip-timestamps", "20")],
)
def test_a_value_that_no_file_fits_is_a_wrong_value_and_a_file_that_cannot_be_read_beside_it_is_code_1(
    cli: Cli, cache: Path, wav: Path, tmp_path: Path, flag: str, value: str
) -> None:
    assert cli("transcribe", wav, "--artifact", LABEL, flag, value, "--cache", cache).code == 2
    assert cli("transcribe", wav, wav, "--artifact", LABEL, flag, value, "--cache", cache).code == 2
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"this is no audio")
    for missing_or_bad in (bad, tmp_path / "none.wav"):
        done = cli("transcribe", missing_or_bad, wav, "--artifact", LABEL, flag, value, "--cache", cache)
        assert done.code == 1
        assert done.err.endswith("2 of 2 files failed\n")


def test_a_file_without_speech_says_so(cli: Cli, cache: Path, tmp_path: Path) -> None:
    silent = tmp_path / "silent.wav"
    silent.write_bytes(tone(2.0)[:44] + bytes(2 * 32_000))
    for flags in ((), ("--quiet",)):  # which hides progress, not warnings
        done = cli("transcribe", silent, "--artifact", LABEL, "--cache", cache, *flags)
        assert (done.code, done.out) == (0, "")
        assert f"warning: {silent}: no speech was found" in done.err
        assert ("2.0 s of audio in" in done.err) != bool(flags)


def test_a_terminal_shows_what_a_pipe_gets(cache: Path, wav: Path) -> None:
    args = ("transcribe", str(wav), "--artifact", LABEL, "--cache", str(cache), "--no-vad")
    piped = run_child(*args)
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


@pytest.mark.parametrize("flags", [("--task", "translate"), ("--language", "de"), ("--beam-size", "8")])
def test_what_the_model_cannot_do_is_one_usage_error_for_all_files(
    cli: Cli, cache: Path, wav: Path, flags: tuple[str, ...]
) -> None:
    done = cli("transcribe", wav, wav, "--artifact", LABEL, *flags, "--quiet", "--cache", cache)
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert flags[0].removeprefix("--").replace("-", "_") in done.err


def test_stdin_and_raw_samples_are_transcribed_as_the_file_is(cli: Cli, cache: Path, wav: Path) -> None:
    args = ("--artifact", LABEL, "-f", "verbose_json", "--quiet", "--cache", cache)
    of_file = cli("transcribe", wav, *args)
    of_stdin = run_child("transcribe", "-", *args, stdin=wav.read_bytes())
    of_raw = run_child("transcribe", "-", "--raw", "s16le:16000:1", *args, stdin=wav.read_bytes()[44:])
    assert of_file.out
    assert of_stdin.stdout.decode() == of_file.out
    assert of_stdin.stderr.decode() == of_file.err.replace(str(wav), "stdin")  # a warning that a tone is no speech
    assert of_raw.stdout == of_stdin.stdout


def test_a_model_that_is_compiled_is_transcribed_with_and_a_hit_prints_nothing_of_it(
    cli: Cli, cache: Path, wav: Path, tiny_checkpoint: Path, tiny_profile: Path
) -> None:
    args = ("--model", tiny_checkpoint, "--profile", tiny_profile, "--cache", cache)
    done = cli("transcribe", wav, *args, "-f", "json")
    assert done.code == 0
    assert "compiling" not in done.err
    assert done.out == cli("transcribe", wav, "-f", "json", "--artifact", LABEL, "--cache", cache).out


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


def test_an_error_while_the_model_is_opened_ends_the_command_though_stdin_stays_open(cache: Path) -> None:
    command = [sys.executable, "-m", "neuron_whisper", "transcribe", "-", "--beam-size", "9", "--artifact", LABEL]
    with subprocess.Popen(
        [*command, "--cache", str(cache)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        assert process.wait(60) == 2
        assert b"beam" in process.stderr.read()


def test_serve_prints_its_address_when_it_listens_and_ends_cleanly_on_sigterm(cache: Path) -> None:
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


def test_the_demo_serves_a_given_recording_and_prints_and_reports_its_figures(
    cli: Cli, cache: Path, wav: Path, tiny_checkpoint: Path, tiny_profile: Path, tmp_path: Path
) -> None:
    flags = ("--profile", tiny_profile, "--speech", wav, "--cache", cache)
    report, text = tmp_path / "report.json", tmp_path / "report.md"
    done = cli("demo", "--model", tiny_checkpoint, *flags, "--report", report, "--report", text)
    assert done.code == 0, done.err
    lines = dict(line.split(maxsplit=1) for line in done.out.splitlines() if len(line.split(maxsplit=1)) == 2)
    assert lines["speech"] == str(wav)
    assert lines["audio"] == "1.00 s"
    assert lines["artifact"].startswith(LABEL)
    assert float(lines["RTF"]) > 0
    command = shlex.split(lines["page"].partition(", then open http://127.0.0.1:8000/")[0])
    assert command[:3] == ["neuron-whisper", "serve", "--artifact"]
    assert Path(command[3]).name == lines["artifact"]  # a path, so it is found in another cache too
    assert command[4:] == ["--samples-dir", str(wav.parent)]
    assert "server: stopped" in done.err
    found = json.loads(report.read_text())
    assert [(stage["name"], stage["state"]) for stage in found["stages"]] == [
        (name, "ok") for name in ("check", "fetch", "compile", "speech", "serve", "transcribe", "stop")
    ]
    assert all(stage["seconds"] >= 0 for stage in found["stages"])
    assert found["artifact"]["was_stored"]
    assert found["speech"] == {"origin": wav.name, "audio_s": 1.0}
    seconds, graphs = found["result"]["seconds"], found["result"]["graphs"]
    assert len(seconds) == 3
    assert found["result"]["rtf"] == pytest.approx(sum(seconds[1:]) / 2, rel=0.001)  # of 1 s
    assert graphs["encode"]["calls"] == 3
    assert graphs["prefill"]["calls"] >= 3  # noise is decoded at several temperatures
    assert graphs["decode"]["mean_s"] > 0
    assert text.read_text().startswith("# neuron-whisper demo: ok\n")


def test_speech_that_cannot_be_read_is_the_error_of_its_stage_in_the_report(
    cli: Cli, cache: Path, tiny_checkpoint: Path, tiny_profile: Path, tmp_path: Path
) -> None:
    speech, report = tmp_path / "a.wav", tmp_path / "report.json"
    speech.write_bytes(b"no audio")
    flags = ("--profile", tiny_profile, "--speech", speech, "--report", report, "--cache", cache)
    done = cli("demo", "--model", tiny_checkpoint, *flags)
    assert done.code == 1
    found = json.loads(report.read_text())
    states = {stage["name"]: stage["state"] for stage in found["stages"]}
    assert (states["compile"], states["speech"], states["serve"]) == ("ok", "failed", "not reached")
    assert found["error"]["kind"] == "AudioUnreadable"
    assert found["artifact"]["was_stored"]


def test_a_compilation_that_fails_is_in_the_report_with_the_step_that_it_came_to(
    cli: Cli, wav: Path, tiny_profile: Path, tmp_path: Path
) -> None:
    weights = tiny_weights()
    weights["decoder.ln.weight"][0] = np.nan
    checkpoint = write_tiny_checkpoint(tmp_path / "nan.en", weights=weights)
    report = tmp_path / "report.json"
    flags = ("--profile", tiny_profile, "--speech", wav, "--report", report, "--cache", tmp_path / "cache")
    assert cli("demo", "--model", checkpoint, *flags).code == 2
    found = json.loads(report.read_text())
    assert (found["error"]["stage"], found["error"]["kind"]) == ("compile", "CheckpointError")
    assert "decoder.ln.weight" in found["error"]["message"]
    # golden tokens, which fail, are made beside the lowering
    assert found["compile_steps"][0]["step"] == "golden tokens"
    assert "artifact" not in found


def test_a_server_of_the_demo_that_does_not_start_is_reported_with_its_error_and_log(tmp_path: Path) -> None:
    failed = pytest.raises(DemoFailed, match="no artifact 'nothing'")
    with failed as raised, run_server(CliContext(cache=tmp_path), "nothing"):
        pass
    [log] = raised.value.__notes__
    assert log.startswith("error: no artifact 'nothing'")
