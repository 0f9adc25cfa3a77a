"""Streams, home and output directories as machines have them: nothing is lost, and each refusal is plain."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest

from neuron_whisper.artifact.store import ArtifactStore
from neuron_whisper.artifact.transfer import export_artifact
from tests.support.artifact_samples import publish_sample
from tests.support.cli_runs import Cli, run_child
from tests.support.manifests import write_speech
from tests.support.small_disks import small_disk

NAME = "Zoë 日本 🎙"
PROGRAM = f"{shlex.quote(sys.executable)} -m neuron_whisper"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported artifact; its import prints a path."""
    folder = tmp_path_factory.mktemp("archive")
    export_artifact(publish_sample(ArtifactStore(folder / "store")), folder / "base.tar")
    return folder / "base.tar"


def run_with(environment: Mapping[str, str], *args: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "neuron_whisper", *map(str, args)],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=60,
    )


# --- text that a stream cannot carry --------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1"])
def test_text_that_the_encoding_of_the_terminal_lacks_is_replaced_or_utf_8(
    archive: Path, tmp_path: Path, encoding: str
) -> None:
    done = run_with({"PYTHONIOENCODING": encoding}, "artifacts", "import", archive, "--cache", tmp_path / NAME)
    assert done.returncode == 0, done.stderr
    path = tmp_path / NAME / "artifacts"
    assert done.stdout.decode("utf-8" if encoding == "ascii" else encoding).startswith(
        str(path) if encoding == "ascii" else str(path).encode(encoding, "replace").decode(encoding)
    )
    assert (b"warning: " in done.stderr) is (encoding != "ascii")


@pytest.mark.parametrize("environment", [{"LC_ALL": "C"}, {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0"}])
def test_text_is_utf_8_in_the_c_locale(archive: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    done = run_with(environment, "artifacts", "import", archive, "--cache", tmp_path / NAME)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().startswith(str(tmp_path / NAME))


def test_json_has_the_same_value_on_a_terminal_of_any_encoding(archive: Path, tmp_path: Path) -> None:
    cache = tmp_path / NAME
    run_child("artifacts", "import", archive, "--cache", cache)
    for encoding in ("cp1252", "utf-8"):
        done = run_with({"PYTHONIOENCODING": encoding}, "artifacts", "list", "--json", "--cache", cache)
        [artifact] = json.loads(done.stdout.decode(encoding))["artifacts"]
        assert Path(artifact["path"]).is_relative_to(cache)
        assert b"warning" not in done.stderr


def test_an_error_about_a_name_that_is_no_text_is_one_line() -> None:
    for encoding in ("utf-8", "cp1252"):
        done = run_with({"PYTHONIOENCODING": encoding}, "artifacts", "show", os.fsdecode(b"caf\xe9 \xe6\x97\xa5"))
        assert done.returncode == 3
        assert done.stderr.startswith(b"error: ")


# --- streams that end -----------------------------------------------------------------------------


def run_shell(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("command", ["models list", "models list --json", "--help", "artifacts list --json"])
@pytest.mark.parametrize("reader", ["head -c1", "true"])
def test_a_reader_that_has_enough_is_no_error(command: str, reader: str, tmp_path: Path) -> None:
    done = run_shell(f"NEURON_WHISPER_CACHE={shlex.quote(str(tmp_path))} {PROGRAM} {command} | {reader}")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", ["models list", "--help", "--version"])
def test_a_full_disk_behind_stdout_is_a_plain_error(command: str) -> None:
    done = run_shell(f"{PROGRAM} {command} >/dev/full")
    assert done.returncode == 1
    assert done.stderr.startswith("error: stdout: cannot be written, no space left on device;")
    assert done.stderr.count("\n") == 1


def test_streams_that_are_closed_or_full_change_no_exit_code(tmp_path: Path) -> None:
    missing = f"artifacts show nothing --cache {shlex.quote(str(tmp_path))}"
    codes = [
        run_shell(f"{PROGRAM} {command}").returncode
        for command in ("models list >&-", f"{missing} 2>&-", f"{missing} 2>/dev/full", f"{missing} >&- 2>&-")
    ]
    assert codes == [0, 3, 3, 3]


# --- users without a home -------------------------------------------------------------------------

NAMELESS = 54321  # a user id that no password database has
AS_NAMELESS = (
    f"import os, sys; os.setresuid({NAMELESS}, 0, 0); os.environ.pop('HOME', None)\n"
    "from neuron_whisper.cli.main import run; sys.exit(run(sys.argv[1:]))"
)


@pytest.mark.skipif(os.geteuid() != 0, reason="not proved without root: a user without a name and a home directory")
@pytest.mark.parametrize("args", [("models", "list"), ("doctor",), ("artifacts", "list"), ("keys", "list")])
def test_a_user_without_a_name_and_a_home_can_run_commands(args: tuple[str, ...], tmp_path: Path) -> None:
    keys = ("--file", str(tmp_path / "keys.json")) if args[0] == "keys" else ()
    done = subprocess.run(
        [sys.executable, "-c", AS_NAMELESS, *args, *keys],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "no home directory" in done.stderr


def test_a_home_that_cannot_be_written_is_refused_with_the_variable_that_names_another(
    archive: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    for home in (tmp_path / "file", Path("/proc/home")):
        done = run_with({"HOME": str(home), "NEURON_WHISPER_CACHE": ""}, "artifacts", "import", archive)
        assert done.returncode == 2
        assert b"NEURON_WHISPER_CACHE" in done.stderr
        assert done.stderr.count(b"\n") == 1


# --- output directories ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path, tiny_profile: Path) -> Path:
    cache = tmp_path_factory.mktemp("cache") / "cache"
    done = run_child("compile", "--model", tiny_checkpoint, "--profile", tiny_profile, "--cache", cache)
    assert done.returncode == 0, done.stderr.decode()
    return cache


@pytest.fixture
def transcribe(cli: Cli, cache: Path) -> Cli:
    return partial(cli, "transcribe", "--artifact", "tiny-random.en", "--cache", cache)


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    folder = tmp_path / "speech"
    folder.mkdir()
    return write_speech(folder)


def test_a_file_that_replaces_an_earlier_output_says_so(transcribe: Cli, speech: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "replaced" not in transcribe(speech / "a.wav", "-o", out).err
    (out / "a.txt").write_text("earlier")
    done = transcribe(speech / "a.wav", "-o", out, "-f", "txt,srt")
    assert f"{out / 'a.txt'}: replaced" in done.err
    assert f"{out / 'a.srt'}: replaced" not in done.err
    assert (out / "a.txt").read_text() != "earlier"


def test_skip_existing_leaves_finished_files_alone_and_needs_no_model_when_all_are(
    transcribe: Cli, cli: Cli, speech: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.txt").write_text("earlier")
    done = transcribe(speech / "a.wav", speech / "b.wav", "-o", out, "--skip-existing")
    assert done.code == 0
    assert (out / "a.txt").read_text() == "earlier"
    assert (out / "b.txt").is_file()
    assert "a.wav: skipped" in done.err
    nothing = tmp_path / "no-cache"
    again = cli("transcribe", speech / "a.wav", "-a", "none", "--cache", nothing, "-o", out, "--skip-existing")
    assert again.code == 0
    # one of two formats is not there: the file is not finished
    assert transcribe(speech / "a.wav", "-o", out, "-f", "txt,srt", "--skip-existing").code == 0
    assert (out / "a.txt").read_text() != "earlier"


def test_inputs_of_one_name_are_written_apart_and_the_names_are_told(
    transcribe: Cli, speech: Path, tmp_path: Path
) -> None:
    files = []
    for folder, source in (("one", "a.wav"), ("two", "b.wav")):
        (tmp_path / folder).mkdir()
        files.append((speech / source).rename(tmp_path / folder / "x.wav"))
    out = tmp_path / "out"
    done = transcribe(*files, "-o", out, "-f", "json")
    assert done.code == 0
    assert sorted(path.name for path in out.iterdir()) == ["one-x.wav.json", "two-x.wav.json"]
    assert done.err.count("written as") == 2


def test_a_name_that_is_too_long_is_an_error_of_that_file_before_any_work(
    transcribe: Cli, speech: Path, tmp_path: Path
) -> None:
    # as an input it has 255 bytes; .json makes it one too many
    long = (speech / "b.wav").rename(speech / f"{'n' * 251}.wav")
    done = transcribe(long, speech / "a.wav", "-o", tmp_path / "out", "-f", "json")
    assert done.code == 1
    assert done.err.startswith(f"error: {long}: ")
    assert done.err.endswith("1 of 2 files failed\n")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.json"]


@pytest.mark.parametrize("to_directory", [False, True])
def test_inputs_that_cannot_be_opened_are_errors_before_a_model_is_looked_for(
    cli: Cli, tmp_path: Path, to_directory: bool
) -> None:
    link = tmp_path / "link.wav"
    link.symlink_to(link)
    inputs = (tmp_path / "missing.wav", tmp_path, link, tmp_path / ("a" * 300))
    outputs = ("-o", tmp_path / "out", "-f", "srt") if to_directory else ()
    done = cli("transcribe", *inputs, "--model", "org/no-such-model", *outputs)
    assert (done.code, done.out) == (1, "")
    *errors, total = done.err.splitlines()
    assert [line.split(": ")[:2] for line in errors] == [["error", str(path)] for path in inputs]
    assert total == "4 of 4 files failed"
    assert not (tmp_path / "out").exists()


def test_an_input_that_is_missing_is_told_first_and_the_others_go_on(
    transcribe: Cli, speech: Path, tmp_path: Path
) -> None:
    done = transcribe(speech / "a.wav", tmp_path / "missing.wav", speech / "b.wav")
    assert done.code == 1
    assert done.err.startswith(f"error: {tmp_path / 'missing.wav'}: there is no such file\n")
    assert done.err.count("s of audio in") == 2
    assert done.err.endswith("1 of 3 files failed\n")


def test_an_output_directory_that_cannot_be_written_is_refused_before_a_model_is_looked_for(
    cli: Cli, speech: Path, tmp_path: Path
) -> None:
    for directory in ("/proc/version/out", "/proc/1/out"):
        done = cli("transcribe", speech / "a.wav", "-m", "no-such-model", "-o", directory, "--cache", tmp_path / "none")
        assert done.code in (1, 2)
        assert done.err.startswith(("error: output_dir: ", "error: Invalid value for '--output-dir'"))


def test_a_full_disk_is_an_error_of_each_file_that_names_it(transcribe: Cli, speech: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with small_disk(out, 4096) as is_mounted:
        if not is_mounted:
            pytest.skip("no file system can be mounted here: not proved what a full disk does to output files")
        (out / "rest").write_bytes(bytes(4096))
        done = transcribe(speech / "a.wav", speech / "b.wav", "-o", out, "-f", "json")
        assert (done.code, [path.name for path in out.iterdir()]) == (1, ["rest"])
        assert done.err.count("no space left on device") == 2
