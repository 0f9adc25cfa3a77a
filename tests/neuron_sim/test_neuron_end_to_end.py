"""Real speech through the Neuron target: compiled, transcribed and served by the command, in the simulator.

NEURON_SIM_MODELS and NEURON_SIM_CLIPS (blanks between names) say which models and recordings; `make neuron-sim-speech`
sets more of both.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import copytree

import httpx
import pytest
from safetensors.torch import load_file, save_file

from neuron_whisper.artifact.cache_directory import default_cache_directory
from neuron_whisper.artifact.loader import Artifact
from neuron_whisper.artifact.store import ArtifactStore
from neuron_whisper.audio.load import load_audio
from neuron_whisper.build import build, resolve_build_spec
from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.errors import BuildError
from neuron_whisper.model.checkpoint import open_checkpoint
from neuron_whisper.model.sources import resolve_model
from neuron_whisper.profile import CompileProfile, parse_profile
from neuron_whisper.target.neuron.runtimes import RUNTIME_VARIABLE
from neuron_whisper.target.registry import load_target
from neuron_whisper.text.tokenizer import Tokenizer
from neuron_whisper.transcriber import Transcriber
from tests import neuron_sim
from tests.support.paths import SPEECH

MODELS = os.environ.get("NEURON_SIM_MODELS", "tiny.en").split()
CLIPS = os.environ.get("NEURON_SIM_CLIPS", "en_jfk.flac en_LJ001-0002.wav en_LJ001-0004.mp3 en_LJ001-0008.wav").split()
JFK = "ask not what your country can do for you"
TIMEOUT_S = 300.0

pytestmark = [
    pytest.mark.skipif(
        not neuron_sim.is_installed(), reason="no simulator: that the Neuron target transcribes speech is not proved"
    ),
    pytest.mark.skipif(
        not (SPEECH / "manifest.tsv").exists(),
        reason="no recordings beside the repository: that the Neuron target transcribes speech is not proved",
    ),
]


@dataclass(frozen=True, slots=True)
class Workspace:
    """A model's checkpoint, and the cache in which the commands compile it."""

    checkpoint: Path
    cache: Path

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "neuron_whisper", *arguments, "--cache", str(self.cache)]

    def run(self, *arguments: str) -> str:
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def compile(self, *arguments: str) -> Path:
        """The artifact's directory, which the command prints."""
        sizes = ["--slots", "4", "--prompt-buckets", "4,256", "--set", "shapes.align=false"]
        return Path(self.run("compile", "--model", str(self.checkpoint), *sizes, *arguments))

    def transcribe(self, artifact: Path, into: Path) -> dict[str, str]:
        """Clip -> its subtitles, times and all."""
        files = [str(SPEECH / clip) for clip in CLIPS]
        self.run("transcribe", "--artifact", str(artifact), "--format", "srt", "--output-dir", str(into), *files)
        return {clip: (into / clip).with_suffix(".srt").read_text() for clip in CLIPS}

    @property
    def store(self) -> ArtifactStore:
        return ArtifactStore(self.cache)

    def build(self, profile: CompileProfile) -> Artifact:
        return build(self.store, resolve_build_spec("speech", open_checkpoint(self.checkpoint), profile))


def make_profile(target: str, tp: int, dtype: str, args: str = "") -> CompileProfile:
    return parse_profile(
        f'format = 1\n[target]\nname = "{target}"\ntp = {tp}\ndtype = "{dtype}"\n[weights]\ndtype = "{dtype}"\n'
        f"[shapes]\nslots = 4\nprompt_buckets = [4, 256]\nalign = false\n[compiler]\nargs = [{args}]\n"
    )


@pytest.fixture(scope="module", params=MODELS)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    # the runtime takes its cores once a process, and the sessions below want from one to four
    os.environ.setdefault("NEURON_RT_NUM_CORES", "4")
    try:
        checkpoint = resolve_model(request.param, cache=default_cache_directory(), offline=True)
    except BuildError as error:
        pytest.skip(f"{request.param} was not fetched ({error}): that the Neuron target transcribes it is not proved")
    cache = tmp_path_factory.mktemp("cache")
    cache.chmod(0o700)
    return Workspace(checkpoint, cache)


@pytest.fixture(scope="module")
def wanted(place: Workspace, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The reference target's subtitles of each clip."""
    artifact = place.compile("--target", "reference", "--dtype", "float32", "--weights-dtype", "float32")
    return place.transcribe(artifact, tmp_path_factory.mktemp("reference"))


@pytest.fixture(scope="module")
def compiled(place: Workspace) -> Path:
    return place.compile("--target", "neuron", "--tp", "2", "--dtype", "float32", "--weights-dtype", "float32")


@pytest.fixture(scope="module")
def wanted_texts(wanted: dict[str, str]) -> dict[str, list[str]]:
    return {clip: subtitle_words(srt) for clip, srt in wanted.items()}


def subtitle_words(srt: str) -> list[str]:
    """Of the lines that are neither a number nor a time."""
    spoken = [line for line in srt.splitlines() if "-->" not in line and not line.strip().isdigit()]
    return " ".join(spoken).split()


def transcribe_clips(transcriber: Transcriber) -> dict[str, list[str]]:
    """Clip -> its words, all clips at once."""
    with ThreadPoolExecutor(len(CLIPS)) as pool:
        clips = [load_audio(SPEECH / clip) for clip in CLIPS]
        texts = pool.map(lambda clip: transcriber.transcribe(clip).text.split(), clips)
        return dict(zip(CLIPS, texts, strict=True))


def test_the_command_compiles_and_transcribes_as_the_reference(
    place: Workspace, compiled: Path, wanted: dict[str, str], tmp_path: Path
) -> None:
    assert place.transcribe(compiled, tmp_path) == wanted
    text = " ".join(subtitle_words(wanted["en_jfk.flac"]))
    assert JFK in text.replace(",", "")


WITHOUT_TORCH = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Absent())
from neuron_whisper.cli.main import main
main()
"""


def test_where_torch_is_absent_nrtpy_transcribes_as_the_reference(
    place: Workspace, compiled: Path, wanted: dict[str, str], tmp_path: Path
) -> None:
    def run(*arguments: str) -> str:
        command = [sys.executable, "-c", WITHOUT_TORCH, *arguments, "--cache", str(place.cache)]
        done = subprocess.run(
            command, env=os.environ | {RUNTIME_VARIABLE: "nrtpy"}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    files = [str(SPEECH / clip) for clip in CLIPS]
    run("transcribe", "--artifact", str(compiled), "--format", "srt", "--output-dir", str(tmp_path), *files)
    assert {clip: (tmp_path / clip).with_suffix(".srt").read_text() for clip in CLIPS} == wanted
    assert "as the reference in encode 1, prefill 4" in run("artifacts", "verify", "--run", compiled.name)


def test_a_killed_compiler_is_reported_and_leaves_nothing(place: Workspace) -> None:
    stored = place.store.list_artifacts()
    killed = place.command(
        "compile",
        "--model",
        str(place.checkpoint),
        "--target",
        "neuron",
        "--slots",
        "2",
        "--dtype",
        "float16",
        "--weights-dtype",
        "float16",
        "--set",
        'compiler.args=["--simulate-fault=killed"]',
    )
    done = subprocess.run(killed, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "the compiler was killed" in done.stderr
    assert place.store.list_artifacts() == stored


@contextmanager
def run_server(place: Workspace, artifact: Path) -> Iterator[str]:
    """The address of `neuron-whisper serve`, which must exit with 0 on SIGTERM."""
    process = subprocess.Popen(
        place.command("serve", "--artifact", str(artifact), "--port", "0"), stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        lines = iter(process.stderr.readline, "")
        yield next(word for line in lines for word in line.split() if word.startswith("http://"))
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


def post_clip(url: str, clip: str) -> str:
    answer = httpx.post(
        f"{url}/v1/audio/transcriptions",
        files={"file": (clip, (SPEECH / clip).read_bytes())},
        data={"model": "whisper-1", "response_format": "srt"},
        timeout=TIMEOUT_S,
    )
    assert answer.status_code == 200, answer.text
    return answer.text


def test_four_requests_at_once_get_what_each_gets_alone(
    place: Workspace, compiled: Path, wanted: dict[str, str]
) -> None:
    """Their windows join the slots at different steps."""
    with run_server(place, compiled) as url, ThreadPoolExecutor(4) as clients:
        served = dict(zip(CLIPS, clients.map(partial(post_clip, url), CLIPS), strict=True))
    assert {clip: srt.strip() for clip, srt in served.items()} == {clip: srt.strip() for clip, srt in wanted.items()}


@pytest.mark.parametrize("tp", [1, 4])
def test_any_number_of_cores_gives_the_same_text(tp: int, place: Workspace, wanted_texts: dict[str, list[str]]) -> None:
    artifact = place.build(make_profile("neuron", tp, "float32"))
    transcriber = Transcriber.open(place.store, artifact)
    assert transcribe_clips(transcriber) == wanted_texts
    transcriber.close()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sixteen_bit_differs_in_a_few_words_at_most(
    dtype: str, place: Workspace, wanted_texts: dict[str, list[str]]
) -> None:
    """`pytest -rP` shows which."""
    import jiwer

    transcriber = Transcriber.open(place.store, place.build(make_profile("neuron", 2, dtype)))
    words = transcribe_clips(transcriber)
    transcriber.close()
    pairs = [(" ".join(wanted_texts[clip]), " ".join(words[clip])) for clip in CLIPS]
    for expected, found in pairs:
        if expected != found:
            print(f"{dtype}: {found!r} where float32 says {expected!r}")  # noqa: T201
    assert jiwer.wer([expected for expected, _ in pairs], [found for _, found in pairs]) <= 0.05


# --- damage must change the text ---------------------------------------------------------------


def transcribe_with(directory: Path, artifact: Artifact) -> list[str]:
    """Words of the shortest clip, from graphs and weights whose digests are not checked."""
    session = load_target("neuron").open(directory, artifact.spec, artifact.profile)
    tokenizer = Tokenizer.from_layout(directory / "tokenizer.json", artifact.spec.special)
    transcriber = Transcriber.from_session(session, tokenizer, name="damaged")
    try:
        # a damaged model never produces good text: without temperature fallback the test is faster
        options = TranscribeOptions(temperature=0.0)
        return transcriber.transcribe(load_audio(SPEECH / CLIPS[-1]), options).text.split()
    finally:
        transcriber.close()


@pytest.mark.parametrize("damage", ["none", "ranks swapped", "a matrix swapped"])
def test_weights_on_the_wrong_rank_change_the_text(
    damage: str, place: Workspace, compiled: Path, wanted_texts: dict[str, list[str]], tmp_path: Path
) -> None:
    artifact = place.store.resolve(str(compiled))
    copy = copytree(compiled, tmp_path / "copy")
    one, two = (copy / "weights" / f"tp{rank}.safetensors" for rank in range(2))
    weights = load_file(one), load_file(two)
    if damage == "ranks swapped":
        save_file(weights[0], two)
        save_file(weights[1], one)
    elif damage == "a matrix swapped":
        name = "layers.encoder.blocks.0.mlp.2.weight"
        weights[0][name], weights[1][name] = weights[1][name], weights[0][name]
        save_file(weights[0], one)
        save_file(weights[1], two)
    words = transcribe_with(copy, artifact)
    assert (words == wanted_texts[CLIPS[-1]]) == (damage == "none")


def test_a_missing_all_reduce_changes_the_text(place: Workspace, wanted_texts: dict[str, list[str]]) -> None:
    artifact = place.build(make_profile("neuron", 2, "float32", args='"--simulate-fault=no-all-reduce"'))
    assert transcribe_with(artifact.path, artifact) != wanted_texts[CLIPS[-1]]
