"""Transcriber: the one facade. An artifact opened, clips in, transcripts out, for threads and for asyncio."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import ExitStack, aclosing
from typing import Self

from neuron_whisper.artifact.golden import check_opened
from neuron_whisper.artifact.loader import Artifact, open_artifact
from neuron_whisper.artifact.store import ArtifactStore
from neuron_whisper.audio.clip import AudioClip
from neuron_whisper.audio.silero import SpeechStream
from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.engine.engine import Engine, EngineStatus
from neuron_whisper.engine.interface import WindowEngine
from neuron_whisper.engine.pool import EnginePool
from neuron_whisper.engine.session_factory import ArtifactOpening
from neuron_whisper.engine.worker_resources import core_groups, usable_cpus
from neuron_whisper.errors import CheckpointError, DeviceFault, InvalidOption
from neuron_whisper.live import LiveOptions, LivePlan, LiveSession
from neuron_whisper.longform import Outcome, Plan, plan_for
from neuron_whisper.longform.drivers import Told, adrive, drive
from neuron_whisper.target.interfaces import ProgramSpec, Session
from neuron_whisper.target.registry import load_target
from neuron_whisper.text.tokenizer import Tokenizer
from neuron_whisper.transcript import Dropped, Segment, Transcript

log = logging.getLogger(__name__)

MOST_REPLICAS = 64  # a trn2.48xlarge has that many NeuronCores


class Transcriber:
    """Transcribes clips on one engine, here or in worker processes; any number of threads and tasks may call it."""

    def __init__(
        self, engine: WindowEngine, spec: ProgramSpec, tokenizer: Tokenizer, *, name: str, replicas: int = 1
    ) -> None:
        self.name = name
        self.tokenizer = tokenizer
        self._n_mels = spec.dims.n_mels
        self._width = spec.slots * replicas  # windows that a batched plan keeps decoding
        # with a start sequence, and with as many tokens again for what follows
        self._longest_prefix = min(spec.dims.n_text_ctx // 2, spec.prompt_buckets[-1] - 5, spec.text_context // 2)
        self._engine = engine
        self._held = ExitStack()
        self.dropped: Counter[str] = Counter()  # stretches without text that asyncio's callers were told of, by reason

    @classmethod
    def on(
        cls,
        session: Session,
        tokenizer: Tokenizer,
        *,
        name: str,
        queue_limit: int = 256,
        on_fault: Callable[[DeviceFault], None] = lambda fault: None,
    ) -> Self:
        """On a session, which belongs to its engine's thread from now on."""
        engine = Engine(session, tokenizer, queue_limit=queue_limit, on_fault=on_fault)
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
        on_fault: Callable[[DeviceFault], None] = lambda fault: None,
    ) -> Self:
        """Check and load an artifact of the store; it cannot be pruned while it is open.

        threads 0: all cores. replicas 1: in this process; more: each in a worker process with a share of the
        cores and threads; None: as many as the artifact's profile says. verify: the artifact's golden tokens are
        checked first, by every replica. Returns when one replica can work.

        Raises ArtifactError, TargetUnavailable, DeviceFault, InvalidOption (replicas, or too few NeuronCores).
        """
        target_table, spec = artifact.profile.target, artifact.spec
        replicas = target_table.replicas if replicas is None else replicas
        if not 1 <= replicas <= MOST_REPLICAS:
            raise InvalidOption("replicas", replicas, f"a whole number from 1 to {MOST_REPLICAS}")
        with ExitStack() as held:
            held.enter_context(store.hold(artifact))
            target = load_target(target_table.name)
            open_artifact(artifact, target.toolchain())
            tokenizer = Tokenizer.from_file(artifact.path / "tokenizer.json", spec.dims.n_vocab)
            engine: WindowEngine
            if replicas == 1:
                session = target.open(artifact.path, spec, artifact.profile, threads=threads)
                if verify:
                    check_opened(session, artifact)
                engine = Engine(session, tokenizer, queue_limit=queue_limit, on_fault=on_fault)
            else:
                opening = ArtifactOpening(path=artifact.path.absolute(), verifies=verify)
                groups = core_groups(
                    target_table, replicas, threads=threads, environment=os.environ, cpus=usable_cpus()
                )
                engine = EnginePool(opening, spec, groups, queue_limit=queue_limit, on_fault=on_fault)
            made = cls(engine, spec, tokenizer, name=artifact.manifest.model, replicas=replicas)
            made._held = held.pop_all()
        return made

    @property
    def status(self) -> EngineStatus:
        """A PoolStatus where there are several replicas."""
        return self._engine.status

    @property
    def fault(self) -> DeviceFault | None:
        """Set when no device can be trusted any more: the process should end."""
        return self._engine.fault

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of the languages the model knows."""
        return self.tokenizer.languages if self.tokenizer.special.is_multilingual else ("en",)

    def _plan(self, clip: AudioClip, options: TranscribeOptions, width: int) -> Plan:
        return plan_for(clip, options, self.tokenizer, n_mels=self._n_mels, width=width)

    # --- threads ----------------------------------------------------------------------------------

    def run(self, clip: AudioClip, options: TranscribeOptions) -> Iterator[Told]:
        """Segments, and what was dropped, as they are done, then the outcome.

        Raises InputError, CapacityError, DeviceFault.
        """
        return drive(self._plan(clip, options, self._width), self._engine.submit)

    def transcribe(
        self,
        clip: AudioClip,
        options: TranscribeOptions | None = None,
        *,
        on_segment: Callable[[Segment], None] = lambda segment: None,
    ) -> Transcript:
        """The whole clip; `on_segment` is told of each segment when it is done.

        Raises InputError, CapacityError, DeviceFault.
        """
        options = options or TranscribeOptions()
        started = time.perf_counter()
        items = []
        for item in self.run(clip, options):
            items.append(item)
            if isinstance(item, Segment):
                on_segment(item)
        return transcript_of(clip, options, items, took_s=time.perf_counter() - started)

    # --- asyncio ----------------------------------------------------------------------------------

    async def arun(
        self, clip: AudioClip, options: TranscribeOptions, *, is_in_background: bool = False
    ) -> AsyncGenerator[Told]:
        """As run. Cancelling the task that waits frees the slots at the engine's next step.

        `is_in_background`: a batched plan keeps at most half of the slots, so that others find one free.
        """
        plan = await asyncio.to_thread(self._plan, clip, options, max(1, self._width // (1 + is_in_background)))
        # closed with us: what is still being decoded when a caller leaves early is cancelled at once
        async with aclosing(adrive(plan, self._engine.submit)) as told:
            async for item in told:
                if isinstance(item, Dropped):
                    self.dropped[item.reason] += 1
                yield item

    async def atranscribe(self, clip: AudioClip, options: TranscribeOptions | None = None) -> Transcript:
        """The whole clip. Raises InputError, CapacityError, DeviceFault."""
        options = options or TranscribeOptions()
        started = time.perf_counter()
        items = [item async for item in self.arun(clip, options)]
        return transcript_of(clip, options, items, took_s=time.perf_counter() - started)

    def live(self, options: LiveOptions | None = None, *, most_buffered_s: float = 60.0) -> LiveSession:
        """A session that is fed samples as they are spoken, in one event loop; close it. Any thread may make it.

        Raises InvalidOption.
        """
        speech: SpeechStream | None
        try:
            speech = SpeechStream()
        except CheckpointError as error:  # an installation without Silero's weights
            log.warning("utterances are ended by who speaks, and text may come from silence: %s", error)
            speech = None
        plan = LivePlan(
            options or LiveOptions(),
            self.tokenizer,
            speech,
            n_mels=self._n_mels,
            longest_prefix=self._longest_prefix,
        )
        # partial text decodes beside others' windows, never before them
        return LiveSession(
            plan,
            self._engine.submit,
            most_buffered_s=most_buffered_s,
            is_busy=lambda: self._engine.status.waiting > 0,
        )

    # --- the end ----------------------------------------------------------------------------------

    def drain(self, timeout_s: float | None = None) -> bool:
        """Take nothing new and wait for what is there; False when that took longer."""
        return self._engine.drain(timeout_s)

    def close(self) -> None:
        """End the engine and let the artifact go. Idempotent."""
        self._engine.close()
        self._held.close()


def transcript_of(clip: AudioClip, options: TranscribeOptions, told: Sequence[Told], *, took_s: float) -> Transcript:
    """All that `run` or `arun` told of a clip, as one transcript; logs what it was."""
    *items, outcome = told
    assert isinstance(outcome, Outcome)
    segments = tuple(item for item in items if isinstance(item, Segment))
    log.info(
        "transcribed audio_s=%.2f took_s=%.2f rtf=%.3f segments=%d language=%s long_form=%s dropped=%d retried=%d",
        clip.duration_s,
        took_s,
        took_s / max(clip.duration_s, 1e-3),
        len(segments),
        outcome.language,
        outcome.long_form,
        len(items) - len(segments),
        sum(bool(segment.retries) for segment in segments),
    )
    return Transcript(
        text=outcome.text,
        language=outcome.language,
        language_probability=outcome.language_probability,
        duration_s=clip.duration_s,
        segments=segments,
        task=options.task,
        warnings=clip.warnings,
        dropped=tuple(item for item in items if isinstance(item, Dropped)),
        long_form=outcome.long_form,
    )
