"""Transcriber: the one facade. An artifact opened, clips in, transcripts out, for threads and for asyncio."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Self

from neuron_whisper.artifact.reading import Artifact, open_artifact
from neuron_whisper.artifact.store import ArtifactStore
from neuron_whisper.audio.clip import AudioClip
from neuron_whisper.audio.mel import LogMel
from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.decode.window import Hypothesis, WindowAsk
from neuron_whisper.engine.engine import Engine, EngineStatus
from neuron_whisper.errors import DeviceFault
from neuron_whisper.longform import Outcome, Plan, sequential
from neuron_whisper.target.contract import Session
from neuron_whisper.target.registry import load_target
from neuron_whisper.text.tokenizer import Tokenizer
from neuron_whisper.transcript import Segment, Transcript

log = logging.getLogger(__name__)


class Transcriber:
    """Transcribes clips on one engine; any number of threads and tasks may call it at once."""

    def __init__(
        self,
        session: Session,
        tokenizer: Tokenizer,
        *,
        name: str,
        queue_limit: int = 256,
        on_fault: Callable[[DeviceFault], None] = lambda fault: None,
    ) -> None:
        self.name = name
        self.tokenizer = tokenizer
        self._n_mels = session.spec.dims.n_mels
        self._engine = Engine(session, tokenizer, queue_limit=queue_limit, on_fault=on_fault)
        self._held = ExitStack()

    @classmethod
    def open(
        cls,
        store: ArtifactStore,
        artifact: Artifact,
        *,
        threads: int = 0,
        queue_limit: int = 256,
        on_fault: Callable[[DeviceFault], None] = lambda fault: None,
    ) -> Self:
        """Check and load an artifact of the store; it cannot be pruned while it is open.

        threads 0: all cores. Raises ArtifactError, TargetUnavailable.
        """
        with ExitStack() as held:
            held.enter_context(store.hold(artifact))
            target = load_target(artifact.manifest.target)
            open_artifact(artifact, target.toolchain())
            tokenizer = Tokenizer.from_file(artifact.path / "tokenizer.json", artifact.spec.dims.n_vocab)
            session = target.open(artifact.path, artifact.spec, artifact.profile, threads=threads)
            made = cls(
                session, tokenizer, name=artifact.manifest.model, queue_limit=queue_limit, on_fault=on_fault
            )
            made._held = held.pop_all()
        return made

    @property
    def status(self) -> EngineStatus:
        return self._engine.status

    @property
    def fault(self) -> DeviceFault | None:
        """Set when the device can no longer be trusted: the process should end."""
        return self._engine.fault

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of the languages the model knows."""
        return self.tokenizer.languages if self.tokenizer.special.is_multilingual else ("en",)

    def _plan(self, clip: AudioClip, options: TranscribeOptions) -> Plan:
        return sequential(LogMel.of(clip.samples, self._n_mels), options, self.tokenizer)

    # --- threads ----------------------------------------------------------------------------------

    def run(self, clip: AudioClip, options: TranscribeOptions) -> Iterator[Segment | Outcome]:
        """Segments as they are done, then the outcome. Raises InputError, CapacityError, DeviceFault."""
        plan = self._plan(clip, options)
        answer, is_first = None, True
        while (item := _next(plan, answer)) is not None:
            answer = None
            if isinstance(item, WindowAsk):
                future = self._engine.submit(item, is_first=is_first)
                is_first = False
                try:
                    answer = future.result()
                finally:
                    future.cancel()  # does nothing to one that is done
            else:
                yield item

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
        return _transcript(clip, options, items, started)

    # --- asyncio ----------------------------------------------------------------------------------

    async def arun(self, clip: AudioClip, options: TranscribeOptions) -> AsyncIterator[Segment | Outcome]:
        """As run. Cancelling the task that waits frees the slot at the engine's next step."""
        plan = await asyncio.to_thread(self._plan, clip, options)
        answer, is_first = None, True
        # the plan's own work between windows (text of tokens, cutting a window) runs in a thread too
        while (item := await asyncio.to_thread(_next, plan, answer)) is not None:
            answer = None
            if isinstance(item, WindowAsk):
                future = self._engine.submit(item, is_first=is_first)
                is_first = False
                answer = await asyncio.wrap_future(future)
            else:
                yield item

    async def atranscribe(self, clip: AudioClip, options: TranscribeOptions | None = None) -> Transcript:
        """The whole clip. Raises InputError, CapacityError, DeviceFault."""
        options = options or TranscribeOptions()
        started = time.perf_counter()
        return _transcript(clip, options, [item async for item in self.arun(clip, options)], started)

    # --- the end ----------------------------------------------------------------------------------

    def drain(self, timeout_s: float | None = None) -> bool:
        """Take nothing new and wait for what is there; False when that took longer."""
        return self._engine.drain(timeout_s)

    def close(self) -> None:
        """End the engine and let the artifact go. Idempotent."""
        self._engine.close()
        self._held.close()


def _next(plan: Plan, answer: Hypothesis | None) -> WindowAsk | Segment | Outcome | None:
    """What the plan yields next, None at its end."""
    try:
        return plan.send(answer)
    except StopIteration:
        return None


def _transcript(
    clip: AudioClip, options: TranscribeOptions, items: Sequence[Segment | Outcome], started: float
) -> Transcript:
    *segments, outcome = items
    assert isinstance(outcome, Outcome)
    took_s = time.perf_counter() - started
    log.info(
        "transcribed audio_s=%.2f took_s=%.2f rtf=%.3f segments=%d language=%s",
        clip.duration_s, took_s, took_s / max(clip.duration_s, 1e-3), len(segments), outcome.language,
    )  # fmt: skip
    return Transcript(
        text=outcome.text,
        language=outcome.language,
        language_probability=outcome.language_probability,
        duration_s=clip.duration_s,
        segments=tuple(segment for segment in segments if isinstance(segment, Segment)),
        task=options.task,
        warnings=clip.warnings,
    )
