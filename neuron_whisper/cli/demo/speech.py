"""Recordings that a demo transcribes: the user's, one beside the repository, or one of a package on PyPI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from neuron_whisper.cli.context import CliContext
from neuron_whisper.cli.progress import show_progress
from neuron_whisper.model.catalogue import CATALOGUE, CatalogueEntry, PypiWeightFile, PypiWeights, Wheel


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRecording:
    """A recording to transcribe, and where it is from."""

    path: Path
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A recording of a language: `beside` is its path next to a checkout of this repository, where there is one."""

    beside: Path
    about: str
    name: str
    package: PypiWeights
    licence: str


SAMPLES: Mapping[str, Sample] = {
    "en": Sample(
        beside=Path("shared/speech/en_jfk.flac"),
        about="a recording (J. F. Kennedy, 1961, public domain)",
        name="beckett.wav",
        licence="MIT",
        package=PypiWeights(
            wheels=(Wheel(package="useful-moonshine-onnx", version="20251121", size_bytes=729_305),),
            files=(
                PypiWeightFile(
                    name="beckett.wav",
                    members=("moonshine_onnx/assets/beckett.wav",),
                    size_bytes=318_978,
                    sha256="e5a26b3d29e5b0bc8dbd72c11d16a3808a4ec0ac45b21f12a27d2a2fe5c5ae61",
                ),
            ),
        ),
    ),
    "ja": Sample(
        beside=Path("shared/speech/ja_common_voice_24511055.mp3"),
        about="a recording (Common Voice, CC0)",
        name="kazoeru.wav",
        licence="MIT",
        package=PypiWeights(
            wheels=(Wheel(package="pytest-audioeval", version="0.1.3", size_bytes=3_959_807),),
            files=(
                PypiWeightFile(
                    name="kazoeru.wav",  # counts from one to ten
                    members=("pytest_audioeval/samples/audio/ja/kazoeru.wav",),
                    size_bytes=169_956,
                    sha256="25a1c7305c61842f8115f98b065a79a3c2120aee73c50ddda1371a9d1f9774d0",
                ),
            ),
        ),
    ),
}


def find_entry(model: str) -> CatalogueEntry | None:
    """By its short name, another name of it, or its id on the hub."""
    return CATALOGUE.get(model) or next((it for it in CATALOGUE.values() if it.hub_id == model), None)


def language_of(model: str) -> str:
    """The language of a demo with this model: that of a model for one language, else English."""
    entry = find_entry(model)
    trained = entry.languages if entry else None
    return trained[0] if trained and trained[0] in SAMPLES else "en"


def find_recording(
    context: CliContext, speech: Path | None, language: str = "en", *, root: Path | None = None
) -> DemoRecording:
    """The given file; else a recording next to the repository (`root`: its parent); else one from a package on PyPI.

    Raises FetchFailed when the package cannot be fetched.
    """
    if speech is not None:
        return DemoRecording(path=speech, origin=str(speech))
    sample = SAMPLES[language]
    recording = (root or Path(__file__).resolve().parents[4]) / sample.beside
    if recording.is_file():
        return DemoRecording(path=recording, origin=f"{recording.name}, {sample.about}")
    from neuron_whisper.model.pypi_weights import fetch_from_pypi

    context.create_store()
    suffix = "" if language == "en" else f"-{language}"
    with show_progress(context, "bytes") as report:
        directory = fetch_from_pypi(f"demo-speech{suffix}", sample.package, cache=context.cache, progress=report)
    package = sample.package.wheels[0].package
    return DemoRecording(
        path=directory / sample.name,
        origin=f"{sample.name}, a recording from the package {package} ({sample.licence})",
    )
