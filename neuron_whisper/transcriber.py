"""Transcriber: opens an artifact and transcribes clips, from threads and from asyncio."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import ExitStack, aclosing
from typing import TYPE_CHECKING, Self

from neuron_whisper.artifact.golden_check import verify_session
from neuron_whisper.artifact.loader import Artifact, check_artifact
from neuron_whisper.artifact.store import ArtifactStore
from neuron_whisper.audio.clip import AudioClip
from neuron_whisper.audio.silero.network import SpeechStream
from neuron_whisper.decode.language import resolve_language
from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.decode.prompt import PromptLimits
from neuron_whisper.decode.window import check_program_options
from neuron_whisper.engine.engine import Engine, EngineStatus
from neuron_whisper.engine.interface import WindowEngine
from neuron_whisper.engine.session_factory import TOKENIZER_FILE, ArtifactSessionFactory, open_checked_session
from neuron_whisper.errors import CheckpointError, DeviceError, InvalidOption
from neuron_whisper.longform import Plan, TranscriptSummary, plan_transcription
from neuron_whisper.longform.coverage import list_spans
from neuron_whisper.longform.drivers import TranscriptEvent, arun_plan, run_plan
from neuron_whisper.target.interfaces import ProgramSpec, Session
from neuron_whisper.target.registry import load_target, toolchain_to_open
from neuron_whisper.text.chinese import load_converter
from neuron_whisper.text.tokenizer import Tokenizer
from neuron_whisper.transcript import Segment, SkippedRegion, Transcript, is_silence

if TYPE_CHECKING:
    from neuron_whisper.live import LiveOptions, LiveSession

log = logging.getLogger(__name__)

MAX_REPLICAS = 64  # a trn2.48xlarge has that many NeuronCores


class Transcriber:
    """Transcribes clips on one engine, in this process or in workers; any number of threads and tasks may call it."""

    def __init__(
        self, engine: WindowEngine, spec: ProgramSpec, tokenizer: Tokenizer, *, name: str, replicas: int = 1
    ) -> None:
        self.name = name
        self.tokenizer = tokenizer
        self._spec = spec
        self._n_mels = spec.dims.n_mels
        self._concurrency = spec.slots * replicas  # windows that a batched plan decodes at once
        # leaves space for a start sequence, and for as many tokens to follow
        self._max_prefix_tokens = min(spec.dims.n_text_ctx // 2, spec.prompt_buckets[-1] - 5, spec.text_context // 2)
        self._engine = engine
        self._resources = ExitStack()
        self.skipped_counts: Counter[str] = Counter()  # regions skipped in arun, by reason

    @classmethod
    def from_session(
        cls,
        session: Session,
        tokenizer: Tokenizer,
        *,
        name: str,
        queue_limit: int = 256,
        on_device_error: Callable[[DeviceError], None] = lambda error: None,
    ) -> Self:
        """Creates one on a session, which its engine's thread owns from now on."""
        engine = Engine(session, tokenizer, queue_limit=queue_limit, on_device_error=on_device_error)
        return cls(engine, session.spec, tokenizer, name=name)

    @classmethod
    def open(
        cls,
        store: ArtifactStore,
        artifact: Artifact,
        *,
        threads: int = 0,
        replicas: int | None = None,
        verify: bool = False,
        queue_limit: int = 256,
        hang_s: float = 120.0,
        on_device_error: Callable[[DeviceError], None] = lambda error: None,
    ) -> Self:
        """Checks and loads an artifact of the store, which cannot be pruned while it is open.

        threads 0: all cores. replicas 1: in this process; more: each in a worker process with a share of the
        cores and threads; None: as many as the artifact's profile says. verify: the artifact's golden tokens are
        checked first, by every replica. hang_s: a worker process that does nothing for so long is replaced.
        Returns when one replica can work.

        Raises ArtifactError, TargetUnavailable, DeviceError, InvalidOption (replicas, or too few NeuronCores).
        """
        target_table, spec = artifact.profile.target, artifact.spec
        replicas = target_table.replicas if replicas is None else replicas
        if not 1 <= replicas <= MAX_REPLICAS:
            raise InvalidOption("replicas", replicas, f"a whole number from 1 to {MAX_REPLICAS}")
        with ExitStack() as held:
            held.enter_context(store.lock_shared(artifact))
            target = load_target(target_table.name)
            engine: WindowEngine
            if replicas == 1:
                session, tokenizer = open_checked_session(target, artifact, threads=threads)
                if verify:
                    verify_session(session, artifact)
                engine = Engine(session, tokenizer, queue_limit=queue_limit, on_device_error=on_device_error)
            else:
                check_artifact(artifact, toolchain_to_open(target, artifact.manifest.toolchain))
                tokenizer = Tokenizer.from_layout(artifact.path / TOKENIZER_FILE, spec.special)
                engine = _open_pool(
                    artifact,
                    replicas,
                    threads=threads,
                    verify=verify,
                    queue_limit=queue_limit,
                    hang_s=hang_s,
                    on_device_error=on_device_error,
                )
            transcriber = cls(engine, spec, tokenizer, name=artifact.manifest.model, replicas=replicas)
            transcriber._resources = held.pop_all()
        return transcriber

    @property
    def status(self) -> EngineStatus:
        """The engine's status; a PoolStatus with several replicas."""
        return self._engine.status

    @property
    def device_error(self) -> DeviceError | None:
        """Set after the device failed for good: the process should end."""
        return self._engine.device_error

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of the languages the model knows."""
        return self.tokenizer.languages if self.tokenizer.special.is_multilingual else ("en",)

    @property
    def only_language(self) -> str | None:
        """The code of the language of a model that knows one alone, None of others."""
        return self.languages[0] if len(self.languages) == 1 else None

    def check_options(self, options: TranscribeOptions) -> None:
        """Raises InvalidOption for what this model or its artifact cannot do, whatever the clip."""
        resolve_language(options, self.tokenizer)
        check_program_options(options, self._spec)
        self.tokenizer.get_suppress_tokens(options.suppress_tokens)
        if options.chinese_script is not None:
            load_converter(options.chinese_script)

    def _make_plan(self, clip: AudioClip, options: TranscribeOptions, concurrency: int) -> Plan:
        limits = PromptLimits.from_spec(self._spec)
        return plan_transcription(
            clip, options, self.tokenizer, n_mels=self._n_mels, concurrency=concurrency, prompt_limits=limits
        )

    # --- threads ----------------------------------------------------------------------------------

    def run(self, clip: AudioClip, options: TranscribeOptions) -> Generator[TranscriptEvent]:
        """Yields segments and skipped regions as they are done, then the summary.

        Raises InputError, CapacityError, DeviceError.
        """
        return run_plan(self._make_plan(clip, options, self._concurrency), self._engine.submit)

    def transcribe(
        self,
        clip: AudioClip,
        options: TranscribeOptions | None = None,
        *,
        on_segment: Callable[[Segment], None] = lambda segment: None,
    ) -> Transcript:
        """Transcribes the whole clip; `on_segment` is called with each segment when it is done.

        Raises InputError, CapacityError, DeviceError.
        """
        options = options or TranscribeOptions()
        started = time.perf_counter()
        items = []
        for item in self.run(clip, options):
            items.append(item)
            if isinstance(item, Segment):
                on_segment(item)
        return build_transcript(clip, options, items, took_s=time.perf_counter() - started)

    # --- asyncio ----------------------------------------------------------------------------------

    async def arun(
        self, clip: AudioClip, options: TranscribeOptions, *, low_priority: bool = False
    ) -> AsyncGenerator[TranscriptEvent]:
        """As run. Cancelling the waiting task frees the slots at the engine's next step.

        `low_priority`: a batched plan uses at most half of the slots, so that other requests find a free one.
        """
        plan = await asyncio.to_thread(self._make_plan, clip, options, max(1, self._concurrency // (1 + low_priority)))
        # closed with this generator: if the caller stops early, windows being decoded are cancelled at once
        async with aclosing(arun_plan(plan, self._engine.submit)) as events:
            async for item in events:
                if isinstance(item, SkippedRegion):
                    self.skipped_counts[item.reason] += 1
                yield item

    async def atranscribe(self, clip: AudioClip, options: TranscribeOptions | None = None) -> Transcript:
        """Transcribes the whole clip. Raises InputError, CapacityError, DeviceError."""
        options = options or TranscribeOptions()
        started = time.perf_counter()
        items = [item async for item in self.arun(clip, options)]
        return build_transcript(clip, options, items, took_s=time.perf_counter() - started)

    def live(self, options: LiveOptions | None = None, *, max_buffered_s: float = 60.0) -> LiveSession:
        """Creates a session for live audio, used in one event loop; close it. Any thread may create it.

        Raises InvalidOption.
        """
        from neuron_whisper import live  # files need none of it

        speech: SpeechStream | None
        try:
            speech = SpeechStream()
        except CheckpointError as error:  # an installation without Silero's weights
            log.warning("voice activity detection is unavailable; clients must commit utterances: %s", error)
            speech = None
        plan = live.LiveStateMachine(
            options or live.LiveOptions(),
            self.tokenizer,
            speech,
            n_mels=self._n_mels,
            max_prefix_tokens=self._max_prefix_tokens,
            prompt_limits=PromptLimits.from_spec(self._spec),
        )
        # partial text is skipped while other windows wait
        return live.LiveSession(
            plan,
            self._engine.submit,
            max_buffered_s=max_buffered_s,
            is_busy=lambda: self._engine.status.waiting > 0,
        )

    # --- the end ----------------------------------------------------------------------------------

    def drain(self, timeout_s: float | None = None) -> bool:
        """Stops accepting clips and waits for those in progress; False if that takes longer than `timeout_s`."""
        return self._engine.drain(timeout_s)

    def close(self) -> None:
        """Stops the engine and releases the artifact. Idempotent."""
        self._engine.close()
        self._resources.close()


def _open_pool(
    artifact: Artifact,
    replicas: int,
    *,
    threads: int,
    verify: bool,
    queue_limit: int,
    hang_s: float,
    on_device_error: Callable[[DeviceError], None],
) -> WindowEngine:
    """The worker processes of a checked artifact. Raises as Transcriber.open."""
    from neuron_whisper.engine.pool import EnginePool
    from neuron_whisper.engine.watchdog import PoolTimeouts
    from neuron_whisper.engine.worker_resources import list_usable_cpus, partition_resources

    return EnginePool(
        ArtifactSessionFactory(path=artifact.path.absolute(), verify=verify),
        artifact.spec,
        partition_resources(
            artifact.profile.target, replicas, threads=threads, environment=os.environ, cpus=list_usable_cpus()
        ),
        queue_limit=queue_limit,
        on_device_error=on_device_error,
        timeouts=PoolTimeouts.from_hang_s(hang_s),
    )


def build_transcript(
    clip: AudioClip, options: TranscribeOptions, events: Sequence[TranscriptEvent], *, took_s: float
) -> Transcript:
    """Builds the transcript from all events of `run` or `arun`, and logs it."""
    *items, outcome = events
    assert isinstance(outcome, TranscriptSummary)
    segments = tuple(item for item in items if isinstance(item, Segment))
    skipped = tuple(item for item in items if isinstance(item, SkippedRegion))
    is_silent = is_silence(segments, skipped)
    language = None if is_silent and not options.language else outcome.language  # of an English-only model, too
    log.info(
        "transcribed audio_s=%.2f took_s=%.2f rtf=%.3f segments=%d language=%s long_form=%s skipped=%d retried=%d",
        clip.duration_s,
        took_s,
        took_s / max(clip.duration_s, 1e-3),
        len(segments),
        language or "-",
        outcome.long_form,
        len(skipped),
        sum(bool(segment.retries) for segment in segments),
    )
    return Transcript(
        text=outcome.text,
        language=language,
        language_probability=outcome.language_probability,
        duration_s=clip.duration_s,
        segments=segments,
        task=options.task,
        warnings=(
            *clip.warnings,
            *outcome.warnings,
            *([f"no speech was found: all {clip.duration_s:.1f} s were taken for silence"] if is_silent else ()),
            *_warn_of_lost_speech(skipped),
        ),
        skipped=skipped,
        long_form=outcome.long_form,
        prompt_tokens=outcome.prompt_tokens,
    )


def _warn_of_lost_speech(skipped: Sequence[SkippedRegion]) -> list[str]:
    """Returns a warning for speech without text, and one for text that was left out as silence."""
    without_text = [(region.start_s, region.end_s) for region in skipped if region.reason == "no_text"]
    unsure = [
        (region.start_s, region.end_s) for region in skipped if region.reason == "no_speech_threshold" and region.text
    ]
    warnings = []
    if without_text:
        warnings.append(f"speech gave no text at {list_spans(without_text)}")
    if unsure:
        spans = list_spans(unsure)
        warnings.append(f"text of low confidence was taken for silence at {spans}; no_speech_threshold none keeps it")
    return warnings
