"""This package as an engine under test, on a stored artifact."""

from __future__ import annotations

from pathlib import Path

from neuron_whisper.bench.engines.config import EngineConfig
from neuron_whisper.bench.engines.engine import Samples
from neuron_whisper.bench.engines.results import GraphTotal, TranscriptionResult


class NeuronWhisper:
    """neuron-whisper; the variant is its plan for long audio."""

    is_serial = False

    def __init__(self, config: EngineConfig) -> None:
        from neuron_whisper.artifact.store import ArtifactStore
        from neuron_whisper.host.malloc import configure_malloc
        from neuron_whisper.transcriber import Transcriber

        configure_malloc()  # as the transcribe command and the server do
        store = ArtifactStore(Path(config.cache))
        self._artifact = store.resolve(config.source)
        self._transcriber = Transcriber.open(store, self._artifact, threads=config.threads)
        self._config = config

    def transcribe(self, samples: Samples, language: str | None) -> TranscriptionResult:
        from neuron_whisper.audio.clip import AudioClip
        from neuron_whisper.decode.options import TranscribeOptions

        decoding = self._config.decoding
        options = TranscribeOptions(
            language=language,
            task=decoding.task,
            beam_size=decoding.beam_size,
            temperature=decoding.temperature,
            best_of=decoding.best_of,
            condition_on_previous_text=decoding.condition_on_previous_text,
            long_form=self._config.variant,
            vad_filter=decoding.extras,
            repetition_cut=decoding.extras,
            word_timestamps=decoding.word_timestamps,
            word_splitting="openai",  # as all peers split
        )
        transcript = self._transcriber.transcribe(AudioClip(samples=samples), options)
        segments = transcript.segments
        return TranscriptionResult(
            text=transcript.text,
            tokens=[token for segment in segments for token in segment.tokens],
            segments=[(segment.start_s, segment.end_s, segment.text) for segment in segments],
            words=[(word.start_s, word.end_s, word.text) for segment in segments for word in segment.words],
        )

    def graph_totals(self) -> list[GraphTotal]:
        stats = self._transcriber.status.stats
        seconds = {"encode": stats.encode_s, "prefill": stats.prefill_s, "decode": stats.step_s, "align": stats.align_s}
        return [
            GraphTotal(
                name=name,
                calls=sum(histogram.counts),
                seconds=histogram.total,
                to_host_bytes=self._count_host_bytes(name, sum(histogram.counts)),
            )
            for name, histogram in seconds.items()
        ]

    def _count_host_bytes(self, graph: str, calls: int) -> int | None:
        """Of a device's graphs: ids (int32) and log-probabilities (float32) of the chosen tokens.

        None with sampling, where some steps return a vocabulary, and for `encode` of several windows at once.
        """
        spec = self._artifact.spec
        if self._artifact.manifest.target != "neuron" or any(self._config.decoding.temperature):
            return None
        match graph:
            case "encode" if spec.encode_batch == 1:  # whether the window is finite, and its largest value
                return calls * 8
            case "prefill":  # and the languages, and the probability of no speech
                return calls * 4 * (2 * spec.choices + spec.special.n_languages + 1)
            case "decode":
                return calls * 8 * spec.choices * spec.rows
            case _:
                return None
