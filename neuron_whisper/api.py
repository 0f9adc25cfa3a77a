"""The Python API: load_model() and the model that it returns."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import aclosing, closing, contextmanager
from dataclasses import replace
from io import TextIOBase
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from neuron_whisper.artifact.cache_directory import default_cache_directory
from neuron_whisper.artifact.loader import Artifact
from neuron_whisper.artifact.manifest import MANIFEST_NAME
from neuron_whisper.artifact.store import ArtifactStore
from neuron_whisper.audio.clip import AudioClip
from neuron_whisper.audio.from_array import clip_from_array
from neuron_whisper.audio.limits import AudioLimits
from neuron_whisper.audio.load import load_audio
from neuron_whisper.build import build, plan_build
from neuron_whisper.decode.language import find_spoken_language
from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.errors import EngineDraining, InvalidOption, ModelClosed, ModelForked, UnknownOption
from neuron_whisper.host.home import expand_home
from neuron_whisper.live.options import LiveOptions
from neuron_whisper.live.session import LiveSession
from neuron_whisper.longform import TranscriptSummary
from neuron_whisper.longform.drivers import TranscriptEvent
from neuron_whisper.model.sources import resolve_model
from neuron_whisper.option_spec import list_option_specs
from neuron_whisper.profile import load_profile, to_profile_name
from neuron_whisper.text.audio_tracks import parse_audio_track
from neuron_whisper.transcriber import Transcriber, build_transcript
from neuron_whisper.transcript import Segment, SkippedRegion, Transcript

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Audio = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | NDArray[Any]

DEFAULT_MODEL = "base"
DEFAULT_PROFILE = "cpu"
_EXIT_TIMEOUT_S = 10.0

LoadProgress = Callable[[str, int, int | None], None]
"""progress(what, done, total): bytes of a download, then steps of a compilation; total None: not known."""
DecodeProgress = Callable[[float, float], None]
"""progress(done_s, total_s): seconds of audio."""


def load_model(
    name: str | os.PathLike[str] = DEFAULT_MODEL,
    *,
    profile: str | os.PathLike[str] = DEFAULT_PROFILE,
    threads: int = 0,
    replicas: int = 1,
    cache: str | os.PathLike[str] | None = None,
    limits: AudioLimits | None = None,
    progress: LoadProgress = lambda what, done, total: None,
) -> Model:
    """Loads a model; one that is not in the cache is fetched and compiled first.

    name: a short name ("base"), a Hugging Face id, the path of a checkpoint, or an artifact by its name in the cache
    or its path. profile: a compile profile by name or path; an artifact has its own. threads: of the CPU, 0 for all
    cores. replicas: 1 decodes in this process, more in as many worker processes. cache: a directory; None is
    $NEURON_WHISPER_CACHE or ~/.cache/neuron-whisper. limits: of the audio; by default 4 hours and any number of
    bytes. progress: called while a model is fetched and compiled.

    Raises UnknownModel, FetchFailed, InvalidOption, BuildError, ArtifactError, TargetUnavailable.
    """
    if not isinstance(threads, int) or threads < 0:
        raise InvalidOption("threads", threads, "a whole number, 0 for all cores")
    directory = default_cache_directory() if cache is None else Path(cache)
    store = ArtifactStore(directory)
    artifact = _find_artifact(store, name) or _compile_model(store, directory, os.fspath(name), profile, progress)
    return Model(Transcriber.open(store, artifact, threads=threads, replicas=replicas), limits)


def _find_artifact(store: ArtifactStore, name: str | os.PathLike[str]) -> Artifact | None:
    """The artifact with this path, or with this whole name in the store."""
    path = expand_home(name)
    for directory, reference in ((path, str(path)), (store.directory.artifacts / path, os.fspath(name))):
        if (directory / MANIFEST_NAME).is_file():
            return store.resolve(reference)
    return None


def _compile_model(
    store: ArtifactStore, cache: Path, name: str, profile: str | os.PathLike[str], progress: LoadProgress
) -> Artifact:
    """The artifact of a model and a profile, compiled unless it is stored."""

    def fetch() -> Path:
        return resolve_model(name, cache=cache, progress=lambda what, done, total: progress(what, done, total))

    profile_name = to_profile_name(os.fspath(profile))
    build_spec = plan_build(
        name, load_profile(os.fspath(profile)), store, fetch, cache=cache, profile_name=profile_name
    )
    return build(store, build_spec, progress=progress)


class Model:
    """A loaded model, made by load_model. Any number of threads and asyncio tasks may use it at the same time.

    It holds memory and threads until `close`, or the end of its `with` block.
    """

    def __init__(self, transcriber: Transcriber, limits: AudioLimits | None = None) -> None:
        self._transcriber, self._limits = transcriber, limits
        self._pid = os.getpid()
        self._is_closed = False
        self._native_calls = threading.Condition()
        self._n_native_calls = 0
        atexit.register(self._close_at_exit)

    @property
    def name(self) -> str:
        """The model's name, such as "base"."""
        return self._transcriber.name

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of the languages that the model knows."""
        return self._transcriber.languages

    def transcribe(
        self,
        audio: Audio,
        options: TranscribeOptions | None = None,
        *,
        sample_rate: int | None = None,
        audio_track: int | str | None = None,
        progress: DecodeProgress = lambda done_s, total_s: None,
        **changes: Any,
    ) -> Transcript:
        """Transcribes a whole clip.

        audio: a path, bytes of a file, a binary file object, or a mono array of float32, float64 or int16 samples at
        16 kHz or at `sample_rate`. audio_track: of a file with several, a number from 0 or a language; by default the
        track that is tagged with the language asked for, or the model's only one. Options are the fields of
        TranscribeOptions, as keyword arguments or as an instance, whose fields the keyword arguments replace;
        openai/whisper's names of them are known, too.

        Raises InvalidOption (an option, or an array that is not audio), AudioUnreadable and other InputErrors,
        CapacityError, DeviceError.
        """
        self._check_usable()
        chosen = self._choose_options(options, changes)
        with self._native_call():
            clip = self._load_clip(audio, sample_rate, audio_track, chosen)
        started = time.perf_counter()
        events = list(self._iterate_events(clip, chosen, progress))
        return build_transcript(clip, chosen, events, took_s=time.perf_counter() - started)

    def stream(
        self,
        audio: Audio,
        options: TranscribeOptions | None = None,
        *,
        sample_rate: int | None = None,
        audio_track: int | str | None = None,
        progress: DecodeProgress = lambda done_s, total_s: None,
        **changes: Any,
    ) -> Generator[Segment]:
        """As transcribe, but yields each segment when it is done. Leaving the loop early cancels the rest."""
        self._check_usable()
        chosen = self._choose_options(options, changes)
        with self._native_call():
            clip = self._load_clip(audio, sample_rate, audio_track, chosen)
        return self._iterate_segments(clip, chosen, progress)

    def _iterate_segments(
        self, clip: AudioClip, options: TranscribeOptions, progress: DecodeProgress
    ) -> Generator[Segment]:
        with closing(self._iterate_events(clip, options, progress)) as events:
            for event in events:
                if isinstance(event, Segment):
                    yield event

    def _iterate_events(
        self, clip: AudioClip, options: TranscribeOptions, progress: DecodeProgress
    ) -> Generator[TranscriptEvent]:
        with closing(self._transcriber.run(clip, options)) as events:
            while True:
                with self._native_call():
                    event = next(events, None)
                if event is None:
                    return
                _report_event(event, clip, progress)
                yield event

    async def atranscribe(
        self,
        audio: Audio,
        options: TranscribeOptions | None = None,
        *,
        sample_rate: int | None = None,
        audio_track: int | str | None = None,
        progress: DecodeProgress = lambda done_s, total_s: None,
        **changes: Any,
    ) -> Transcript:
        """transcribe for asyncio. Cancelling the task frees its slots at the next decode step."""
        self._check_usable()
        chosen = self._choose_options(options, changes)
        clip = await asyncio.to_thread(self._load_clip, audio, sample_rate, audio_track, chosen)
        started = time.perf_counter()
        async with aclosing(self._aiterate_events(clip, chosen, progress)) as coming:
            events = [event async for event in coming]
        return build_transcript(clip, chosen, events, took_s=time.perf_counter() - started)

    async def astream(
        self,
        audio: Audio,
        options: TranscribeOptions | None = None,
        *,
        sample_rate: int | None = None,
        audio_track: int | str | None = None,
        progress: DecodeProgress = lambda done_s, total_s: None,
        **changes: Any,
    ) -> AsyncGenerator[Segment]:
        """stream for asyncio. Closing the generator, or cancelling the task, cancels the rest."""
        self._check_usable()
        chosen = self._choose_options(options, changes)
        clip = await asyncio.to_thread(self._load_clip, audio, sample_rate, audio_track, chosen)
        async with aclosing(self._aiterate_events(clip, chosen, progress)) as coming:
            async for event in coming:
                if isinstance(event, Segment):
                    yield event

    async def _aiterate_events(
        self, clip: AudioClip, options: TranscribeOptions, progress: DecodeProgress
    ) -> AsyncGenerator[TranscriptEvent]:
        async with aclosing(self._transcriber.arun(clip, options)) as coming:
            try:
                async for event in coming:
                    _report_event(event, clip, progress)
                    yield event
            except EngineDraining:
                self._check_usable()
                raise

    def live(self, options: LiveOptions | None = None, *, max_buffered_s: float = 60.0) -> LiveSession:
        """Creates a session for live audio in the running event loop; close it with `aclose`. Raises InvalidOption."""
        self._check_usable()
        return self._transcriber.live(options, max_buffered_s=max_buffered_s)

    def close(self) -> None:
        """Frees the model; windows that are being decoded fail. Idempotent, and without effect in a forked child."""
        if os.getpid() == self._pid and not self._is_closed:
            self._is_closed = True
            atexit.unregister(self._close_at_exit)
            self._transcriber.close()

    def _close_at_exit(self) -> None:
        """Closes the model and waits for its native calls.

        A daemon thread that comes back from C++ while the interpreter ends is unwound there, which aborts the process.
        """
        self.close()
        with self._native_calls:
            self._native_calls.wait_for(lambda: not self._n_native_calls, _EXIT_TIMEOUT_S)

    @contextmanager
    def _native_call(self) -> Generator[None]:
        """Counts the caller among those that `_close_at_exit` waits for. Raises ModelClosed if it was closed amid."""
        with self._native_calls:
            self._n_native_calls += 1
        try:
            yield
        except EngineDraining:
            self._check_usable()
            raise
        finally:
            with self._native_calls:
                self._n_native_calls -= 1
                self._native_calls.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Model {self.name}{' (closed)' if self._is_closed else ''}>"

    def _choose_options(self, options: TranscribeOptions | None, changes: Mapping[str, Any]) -> TranscribeOptions:
        chosen = _merge_options(options, changes)
        self._transcriber.check_options(chosen)
        return chosen

    def _load_clip(
        self, audio: Any, sample_rate: int | None, audio_track: int | str | None, options: TranscribeOptions
    ) -> AudioClip:
        if hasattr(audio, "__array__"):
            if audio_track is not None:
                raise InvalidOption("audio_track", audio_track, "only with a file: an array has no tracks")
            return clip_from_array(audio, sample_rate)
        if sample_rate is not None:
            raise InvalidOption("sample_rate", sample_rate, "only with an array: a file has its own")
        if isinstance(audio, (bytes, bytearray, memoryview)):
            audio = bytes(audio)
        elif isinstance(audio, (str, os.PathLike)):
            audio = Path(audio)
        elif not hasattr(audio, "read") or isinstance(audio, TextIOBase):
            allowed = "a path, bytes, a binary file object or an array of samples"
            raise InvalidOption("audio", type(audio).__name__, allowed)
        track = parse_audio_track(audio_track)
        language = find_spoken_language(options, self._transcriber.only_language)
        return load_audio(audio, limits=self._limits, audio_track=track, language=language)

    def _check_usable(self) -> None:
        if os.getpid() != self._pid:
            raise ModelForked(self.name, self._pid)
        if self._is_closed:
            raise ModelClosed(self.name)


def _merge_options(options: TranscribeOptions | None, changes: Mapping[str, Any]) -> TranscribeOptions:
    """Applies keyword arguments, which may have openai/whisper's and faster-whisper's names. Raises InvalidOption."""
    names = {name: name for name in TranscribeOptions.__slots__}
    for spec in list_option_specs(TranscribeOptions).values():
        for other in (spec.openai_whisper, spec.faster_whisper):
            if other is not None:
                names.setdefault(other, spec.name)
    merged: dict[str, Any] = {}
    for name, value in changes.items():
        if name == "vad_parameters":
            raise InvalidOption(name, value, "here it is vad=VadOptions(...), with the same names inside")
        if name not in names:
            raise UnknownOption(name, TranscribeOptions.__slots__, kind="option")
        if names[name] in merged:
            raise InvalidOption(name, value, f"it is the same option as {names[name]}; give one of them")
        merged[names[name]] = value
    if not isinstance(options, TranscribeOptions | None):
        raise InvalidOption("options", options, "a TranscribeOptions; single options are keyword arguments")
    return replace(options or TranscribeOptions(), **merged)


def _report_event(event: TranscriptEvent, clip: AudioClip, progress: DecodeProgress) -> None:
    match event:
        case Segment() | SkippedRegion():
            progress(min(event.end_s, clip.duration_s), clip.duration_s)
        case TranscriptSummary():
            progress(clip.duration_s, clip.duration_s)
