"""The Python API without a model's weights: exports, options by name, audio in every form, closing and forking."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuron_whisper
from neuron_whisper import AudioLimits, LiveOptions, TranscribeOptions
from neuron_whisper.api import Model
from neuron_whisper.errors import (
    AudioTooLarge,
    AudioTooLong,
    AudioUnreadable,
    InvalidOption,
    ModelClosed,
    ModelForked,
    UnknownModel,
    UnknownOption,
)
from tests.support.audio_files import encode_two_tracks
from tests.support.servers import make_transcriber, tone

FAST: dict[str, Any] = {"vad_filter": False, "temperature": 0.0, "language": "en"}


@pytest.fixture
def model() -> Iterator[Model]:
    transcriber, _ = make_transcriber()
    with Model(transcriber) as made:
        yield made


def samples(seconds: float = 1.0, rate: int = 16_000) -> np.ndarray[Any, Any]:
    return (0.3 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


# --- the package ----------------------------------------------------------------------------------


def test_importing_the_package_loads_neither_numpy_nor_openvino() -> None:
    code = "import neuron_whisper, sys; print(sorted({'numpy', 'openvino', 'av', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_every_exported_name_exists_and_is_listed() -> None:
    for name in neuron_whisper.__all__:
        assert getattr(neuron_whisper, name) is not None
        assert name in dir(neuron_whisper)


def test_names_that_are_not_exported_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="Whisper"):
        _ = neuron_whisper.Whisper  # type: ignore[attr-defined]  # missing on purpose


def test_a_type_checker_sees_what_is_exported() -> None:
    from neuron_whisper import _MODULE_OF_NAME

    assert sorted(_MODULE_OF_NAME) == sorted(set(neuron_whisper.__all__) - {"__version__"})


# --- transcribing ---------------------------------------------------------------------------------


def test_a_result_has_text_segments_language_and_duration(model: Model) -> None:
    result = model.transcribe(samples(1.5), **FAST)
    assert result.text
    assert "".join(segment.text for segment in result.segments).strip() == result.text
    assert (result.language, result.duration, result.warnings, result.skipped) == ("en", 1.5, (), ())
    assert all(segment.start <= segment.end for segment in result.segments)


def test_words_have_times_and_text(model: Model) -> None:
    result = model.transcribe(samples(), word_timestamps=True, **FAST)
    words = [word for segment in result.segments for word in segment.words]
    assert words
    assert all(word.start <= word.end and word.text for word in words)


def test_streamed_segments_are_those_of_the_result(model: Model) -> None:
    audio = samples(70.0)
    assert list(model.stream(audio, **FAST)) == list(model.transcribe(audio, **FAST).segments)


def test_asyncio_gives_the_same(model: Model) -> None:
    audio = samples(40.0)

    async def run() -> tuple[str, list[str]]:
        result = await model.atranscribe(audio, **FAST)
        return result.text, [segment.text async for segment in model.astream(audio, **FAST)]

    expected = model.transcribe(audio, **FAST)
    assert asyncio.run(run()) == (expected.text, [segment.text for segment in expected.segments])


def test_progress_rises_to_the_duration(model: Model) -> None:
    calls: list[tuple[float, float]] = []
    model.transcribe(samples(40.0), progress=lambda done_s, total_s: calls.append((done_s, total_s)), **FAST)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert calls[-1] == (40.0, 40.0)


def test_leaving_a_stream_early_frees_the_model(model: Model) -> None:
    stream = model.stream(samples(90.0), **FAST)
    next(stream)
    stream.close()
    assert model.transcribe(samples(), **FAST).text


def test_a_live_session_gives_final_text(model: Model) -> None:
    async def run() -> list[str]:
        session = model.live(LiveOptions(turn_detection=None, partial_results=False))
        await session.feed(samples(2.0))
        await session.finish()
        return [type(event).__name__ async for event in session]

    assert asyncio.run(run()) == ["UtteranceCommitted", "FinalText"]


# --- options --------------------------------------------------------------------------------------


def test_names_of_whisper_and_faster_whisper_are_known(model: Model) -> None:
    result = model.transcribe(
        samples(), word_timestamps=True, hallucination_silence_threshold=2.0, log_prob_threshold=None, **FAST
    )
    assert {region.reason for region in result.skipped} == {"hallucination"}


def test_an_unknown_option_is_refused_with_the_nearest_name(model: Model) -> None:
    with pytest.raises(UnknownOption, match=r"beamsize: unknown option; did you mean beam_size\?"):
        model.transcribe(samples(), beamsize=5)


def test_faster_whispers_vad_parameters_are_answered_with_the_name_here(model: Model) -> None:
    with pytest.raises(InvalidOption, match=r"vad=VadOptions") as refused:
        model.transcribe(samples(), vad_parameters={"threshold": 0.4})
    assert refused.value.field == "vad_parameters"


def test_what_the_model_cannot_do_is_refused_before_the_audio_is_read(model: Model) -> None:
    with pytest.raises(InvalidOption) as refused:
        model.transcribe("nothere.wav", beam_size=64)
    assert refused.value.field == "beam_size"


def test_closing_amid_a_stream_is_said_to_its_reader(model: Model) -> None:
    stream = model.stream(samples(90), **FAST)
    next(stream)
    model.close()
    with pytest.raises(ModelClosed):
        list(stream)


def test_a_file_object_needs_no_more_than_read(model: Model) -> None:
    class Reader:
        def __init__(self, content: bytes) -> None:
            self._content = io.BytesIO(content)

        def read(self, size: int = -1) -> bytes:
            return self._content.read(size)

    content = tone()
    read: Any = Reader(content)
    assert model.transcribe(read, **FAST).text == model.transcribe(content, **FAST).text


@pytest.mark.parametrize(("options", "field"), [({"language": "en"}, "options"), (3, "options")])
def test_options_of_another_type_are_refused(model: Model, options: Any, field: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        model.transcribe(tone(), options)
    assert refused.value.field == field


def test_a_detector_of_another_type_is_refused(model: Model) -> None:
    for vad in (True, None, {"threshold": 0.4}):
        with pytest.raises(InvalidOption) as refused:
            model.transcribe(tone(), vad=vad)
        assert refused.value.field == "vad"


def test_fewer_threads_than_none_are_refused() -> None:
    with pytest.raises(InvalidOption) as refused:
        neuron_whisper.load_model("base", threads=-1)
    assert refused.value.field == "threads"


def test_one_option_under_two_names_is_refused(model: Model) -> None:
    with pytest.raises(InvalidOption, match="the same option as logprob_threshold"):
        model.transcribe(samples(), logprob_threshold=-1, log_prob_threshold=-1)


def test_keyword_arguments_change_an_instance_of_options(model: Model) -> None:
    options = TranscribeOptions(language="de", vad_filter=False, temperature=0.0)
    assert model.transcribe(samples(), options).language == "de"
    assert model.transcribe(samples(), options, language="en").language == "en"


# --- audio ----------------------------------------------------------------------------------------


def test_a_file_reads_the_same_from_path_bytes_and_file_object(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    path.write_bytes(tone())
    with path.open("rb") as file:
        forms = [path, str(path), tone(), bytearray(tone()), io.BytesIO(tone()), file]
        texts = {model.transcribe(form, **FAST).text for form in forms}  # type: ignore[arg-type]  # any of them
    assert len(texts) == 1


def test_a_path_named_like_stdin_is_a_path(model: Model) -> None:
    with pytest.raises(AudioUnreadable):
        model.transcribe("-", **FAST)


@pytest.mark.parametrize("audio", [None, 5, ["a.wav"], io.StringIO("text")])
def test_what_is_no_audio_is_refused_by_name(model: Model, audio: Any) -> None:
    with pytest.raises(InvalidOption) as refused:
        model.transcribe(audio, **FAST)
    assert refused.value.field == "audio"


def test_a_sample_rate_belongs_to_an_array(model: Model) -> None:
    assert model.transcribe(samples(1.0, 48_000), sample_rate=48_000, **FAST).duration == pytest.approx(1.0, abs=0.01)
    with pytest.raises(InvalidOption, match="sample_rate: 16000 is not allowed; only with an array"):
        model.transcribe(tone(), sample_rate=16_000, **FAST)


# --- the end --------------------------------------------------------------------------------------


def test_a_closed_model_says_so(model: Model) -> None:
    model.close()
    model.close()
    with pytest.raises(ModelClosed, match="turbo is closed"):
        model.transcribe(samples())
    with pytest.raises(ModelClosed):
        model.stream(samples())
    assert repr(model) == "<Model turbo (closed)>"


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # what this is about
def test_a_model_opened_before_a_fork_says_so_in_the_child(model: Model) -> None:
    reads, writes = os.pipe()
    child = os.fork()
    if not child:  # pragma: no cover  # in another process
        try:
            model.transcribe(samples())
        except ModelForked as error:
            os.write(writes, str(error).encode())
        finally:
            model.close()  # must neither hang nor close the parent's
            os._exit(0)
    os.close(writes)
    with os.fdopen(reads, "rb") as pipe:
        message = pipe.read().decode()
    assert os.waitpid(child, 0)[1] == 0
    assert message.startswith(f"the model turbo was loaded by process {os.getpid()} before a fork")
    assert model.transcribe(samples(), **FAST).text


# --- loading --------------------------------------------------------------------------------------


def test_a_name_that_nothing_bears_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="bsae"):
        neuron_whisper.load_model("bsae", cache=tmp_path / "cache")


def test_a_track_is_named_by_number_or_language_and_belongs_to_a_file(model: Model) -> None:
    two = encode_two_tracks()
    for track, warnings in ((1, 0), ("English", 0), (None, 1)):
        assert len(model.transcribe(two, audio_track=track, **FAST).warnings) == warnings
    for audio, track in ((two, 2), (two, "klingon"), (two, "fr"), (samples(), 0)):
        with pytest.raises(InvalidOption) as refused:
            model.transcribe(audio, audio_track=track, **FAST)
        assert refused.value.field == "audio_track"


@pytest.mark.parametrize(
    ("is_multilingual", "options", "track"),
    [(False, {}, 1), (True, {}, 0), (True, {"languages": ("en",)}, 1), (True, {"languages": ("en", "fr")}, 0)],
)
def test_without_a_language_the_track_of_the_only_one_that_can_be_is_taken(
    is_multilingual: bool, options: dict[str, Any], track: int
) -> None:
    transcriber, _ = make_transcriber(is_multilingual=is_multilingual)
    with Model(transcriber) as model:
        told = model.transcribe(encode_two_tracks(), vad_filter=False, temperature=0.0, **options).warnings[0]
    assert f"track {track} was taken, audio_track chooses another" in told


def test_limits_are_those_the_model_was_loaded_with(model: Model) -> None:
    limited = Model(model._transcriber, AudioLimits(max_seconds=0.5, max_bytes=10**6))
    with pytest.raises(AudioTooLong):
        limited.transcribe(tone(), **FAST)
    with pytest.raises(AudioTooLarge):
        Model(model._transcriber, AudioLimits(max_bytes=100)).transcribe(tone(), **FAST)
