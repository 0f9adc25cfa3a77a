"""An 8-bit encoder from calibration to transcription, with a random model and, where it is there, tiny.en."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
import soundfile

from neuron_whisper.audio.load import load_audio
from neuron_whisper.errors import InvalidOption
from neuron_whisper.model.checkpoint import open_checkpoint
from neuron_whisper.profile import parse_profile
from neuron_whisper.target.cpu.encoder_scales import fingerprint_encoder, scales_file
from neuron_whisper.target.cpu.lowering.graph_signatures import graph_file, weights_file
from neuron_whisper.target.interfaces import spec_from_profile
from tests.support.cli_runs import Cli, run_child
from tests.support.paths import SPEECH
from tests.support.scripted_model import synthesize_speech, write_wav
from tests.support.speech import needs_recordings, open_model, words
from tests.support.tiny_models import TINY_PROFILE, write_tiny_checkpoint
from tests.support.tiny_program import DIMS


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("profiles") / "fast.toml"
    path.write_text(
        TINY_PROFILE.replace('dtype = "float32"\n[shapes]', 'dtype = "bfloat16"\n[shapes]') + 'encoder = "int8"\n'
    )
    return path


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("speech") / "a.wav"
    write_wav(path, synthesize_speech(5.0))
    return path


def count_kinds(directory: Path) -> Counter[str]:
    weights = ov.Tensor(np.fromfile(weights_file(directory), np.uint8))
    model = ov.Core().read_model(graph_file(directory, "encode_1").read_bytes(), weights)
    return Counter(node.get_type_name() for node in model.get_ops())


def test_a_model_without_scales_is_compiled_in_16_bit_and_told_so_until_it_is_calibrated(
    cli: Cli, tmp_path: Path, tiny_checkpoint: Path, profile: Path, speech: Path
) -> None:
    cache = tmp_path / "cache"
    compiling = ("compile", "-m", tiny_checkpoint, "--profile", profile, "--cache", cache)
    before = cli(*compiling)
    assert before.code == 0
    assert f"neuron-whisper calibrate -m {tiny_checkpoint}" in before.err
    assert count_kinds(Path(before.out.strip()))["FakeQuantize"] == 0
    again = cli(*compiling, "--dry-run")
    assert "calibrate" in again.err

    made = json.loads(cli("calibrate", "-m", tiny_checkpoint, speech, "--cache", cache, "--json").out)
    assert Path(made["path"]).parent == cache / "encoder-scales"
    assert made["layers"]

    after = cli(*compiling)
    assert after.code == 0
    assert "calibrate" not in after.err
    assert after.out != before.out
    assert count_kinds(Path(after.out.strip()))["FakeQuantize"] >= len(made["layers"])
    done = cli("transcribe", speech, "--artifact", after.out.strip(), "--cache", cache)
    assert done.code == 0, done.err


def test_damaged_scales_are_named_before_anything_is_compiled(
    cli: Cli, tmp_path: Path, tiny_checkpoint: Path, profile: Path
) -> None:
    cache = tmp_path / "cache"
    path = scales_file(cache / "encoder-scales", fingerprint_encoder(open_checkpoint(tiny_checkpoint)))
    path.parent.mkdir(parents=True, mode=0o700)
    path.write_bytes(b"damaged")
    done = cli("compile", "-m", tiny_checkpoint, "--profile", profile, "--cache", cache)
    assert (done.code, done.out) == (2, "")
    assert f"{path}: file: " in done.err


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path, speech: Path) -> Path:
    """Scales that calibrate wrote elsewhere than in the cache directory."""
    folder = tmp_path_factory.mktemp("scales")
    out = folder / "mine.safetensors"
    done = run_child("calibrate", "-m", tiny_checkpoint, speech, "--out", out, "--cache", folder / "cache")
    assert (done.returncode, done.stdout.decode()) == (0, f"{out}\n")
    assert "300 s" in done.stderr.decode()  # how much speech is enough
    assert f"--encoder-scales {out}" in done.stderr.decode()
    assert not (folder / "cache" / "encoder-scales").exists()
    return out


def test_scales_that_were_written_elsewhere_are_named_to_compile(
    cli: Cli, tmp_path: Path, tiny_checkpoint: Path, profile: Path, written: Path
) -> None:
    compiling = ("compile", "-m", tiny_checkpoint, "--profile", profile, "--cache", tmp_path / "cache")
    named = cli(*compiling, "--encoder-scales", written)
    assert named.code == 0, named.err
    assert "calibrate" not in named.err
    assert count_kinds(Path(named.out.strip()))["FakeQuantize"] > 0


def test_an_artifacts_key_has_the_content_of_its_scales_not_their_place(
    cli: Cli, tmp_path: Path, tiny_checkpoint: Path, profile: Path, written: Path
) -> None:
    cache = tmp_path / "cache"

    def find_key(*flags: object) -> str:
        compiling = ("compile", "-m", tiny_checkpoint, "--profile", profile, "--cache", cache, "--dry-run", "--json")
        return str(json.loads(cli(*compiling, *flags).out)["key"])

    without = find_key()
    named = find_key("--encoder-scales", written)
    kept = scales_file(cache / "encoder-scales", fingerprint_encoder(open_checkpoint(tiny_checkpoint)))
    kept.parent.mkdir(parents=True, mode=0o700)
    kept.write_bytes(written.read_bytes())
    assert named != without
    assert find_key() == named
    kept.write_bytes(b"damaged")  # what is named goes before what is kept
    assert find_key("--encoder-scales", written) == named


@pytest.mark.parametrize("use", ["--dry-run", "--explain", "--quiet"])
def test_scales_of_another_model_are_refused_before_anything_is_compiled(
    cli: Cli, tmp_path: Path, profile: Path, written: Path, use: str
) -> None:
    other = write_tiny_checkpoint(tmp_path / "other.en", seed=1)
    cache = tmp_path / "cache"
    done = cli("compile", "-m", other, "--profile", profile, "--cache", cache, "--encoder-scales", written, use)
    assert (done.code, done.out) == (2, "")
    assert f"error: {written}: encoder: " in done.err
    assert "remove" not in done.err  # the file is sound


def test_scales_are_refused_with_a_profile_whose_encoder_is_not_of_8_bit(
    cli: Cli, tmp_path: Path, tiny_checkpoint: Path, written: Path
) -> None:
    compiling = ("compile", "-m", tiny_checkpoint, "--cache", tmp_path / "cache", "--encoder-scales", written)
    done = cli(*compiling, "--dry-run")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: weights.encoder: ")
    assert str(written) in done.err


def test_scales_that_are_not_there_are_refused_by_the_flags_name(cli: Cli, tmp_path: Path) -> None:
    done = cli("compile", "-m", "tiny.en", "--encoder-scales", tmp_path / "none", "--cache", tmp_path / "cache")
    assert done.code == 2
    assert "--encoder-scales" in done.err


@pytest.mark.parametrize("seconds", [2.0, 2000.0])
def test_recordings_without_speech_or_far_too_long_are_refused(
    cli: Cli, tmp_path: Path, tiny_checkpoint: Path, seconds: float
) -> None:
    silence = tmp_path / "silence.flac"
    soundfile.write(silence, np.zeros(int(seconds * 16_000), np.int16), 16_000)
    done = cli("calibrate", "-m", tiny_checkpoint, silence, "--cache", tmp_path / "cache")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: SPEECH: ")
    assert not (tmp_path / "cache" / "encoder-scales").exists()


def test_a_place_for_scales_that_is_not_there_is_refused_before_anything_is_read(cli: Cli, tmp_path: Path) -> None:
    speech = tmp_path / "no speech.txt"
    speech.write_text("no audio")
    done = cli("calibrate", "-m", "base", speech, "--out", tmp_path / "none" / "a", "--cache", tmp_path / "cache")
    assert done.code == 2
    assert done.err.startswith("error: --out: ")


@pytest.mark.parametrize("target", ["reference", "neuron"])
def test_an_8_bit_encoder_is_of_the_cpu_target(target: str) -> None:
    profile = parse_profile(f'format = 1\n[target]\nname = "{target}"\n[weights]\nencoder = "int8"')
    with pytest.raises(InvalidOption) as caught:
        spec_from_profile(DIMS, profile)
    assert caught.value.field == "weights.encoder"


@needs_recordings
def test_tiny_en_hears_the_words_with_its_packaged_scales() -> None:
    with open_model("tiny.en", profile="cpu-fast") as transcriber:
        text = transcriber.transcribe(load_audio(SPEECH / "en_jfk.flac")).text
    assert words(text) == words(
        "And so my fellow Americans ask not what your country can do for you ask what you can do for your country"
    )
