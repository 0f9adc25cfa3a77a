"""NeuronSession: runs the compiled graphs on slots. Only tokens and log-probabilities are copied to the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.errors import DeviceError, InvalidOption
from neuron_whisper.target.interfaces import (
    N_RULES,
    PrefillInputs,
    PrefillOutput,
    ProgramSpec,
    StepInputs,
    TopTokens,
    mask_logprobs,
    resolve_beam_parents,
    rows_in_use,
)
from neuron_whisper.target.neuron.lowering import layout


class GraphRunner(Protocol):
    """The loaded graphs under one of the runtimes."""

    def __call__(self, *inputs: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Run the graph that takes inputs of these shapes -> its two results. Raises RuntimeError.

        Numbers other than int32 are given in float32, whatever the graph's type is.
        """

    def close(self) -> None: ...


class NeuronSession:
    """Session on the graphs that target/neuron/lowering writes. Each graph's first call is slow: `warm_up` makes it."""

    def __init__(self, spec: ProgramSpec, graphs: GraphRunner) -> None:
        self._spec = spec
        self._graphs: GraphRunner | None = graphs
        self._beam_widths = np.ones(spec.slots, np.int32)  # rows that each slot decodes in, set by its prefill

    @property
    def spec(self) -> ProgramSpec:
        return self._spec

    def warm_up(self) -> None:
        """Run every graph once: the first call of each is slow. Leaves nothing that a later call reads."""
        spec, dims = self._spec, self._spec.dims
        for n in spec.encode_batches:
            self.encode(range(n), np.zeros((n, dims.n_mels, dims.n_frames), np.float32))
        rules, suppressed = np.zeros(N_RULES, np.int32), np.zeros(dims.n_vocab, np.bool_)
        for bucket in spec.prompt_buckets:
            prompt = np.zeros(bucket, np.int32)
            self.prefill(0, PrefillInputs(prompt=prompt, sot_index=0, rules=rules, suppressed=suppressed))
        rows = np.zeros(spec.rows, np.int32)
        idle = StepInputs(
            tokens=rows,
            positions=rows,
            parents=rows,
            rules=np.zeros((spec.rows, N_RULES), np.int32),
            active=np.zeros(spec.slots, np.bool_),
        )
        self.decode(idle)
        self.logits(idle)
        for bucket in spec.align_buckets if spec.alignment_heads else ():
            self.align(0, np.zeros(bucket, np.int32))

    def _run(self, *inputs: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        if self._graphs is None:
            raise DeviceError("the session is closed")
        try:
            return self._graphs(*inputs)
        except RuntimeError as error:
            raise DeviceError(f"the Neuron runtime: {error}") from error

    def encode(self, slots: Sequence[int], mel: NDArray[np.float32]) -> None:
        n = len(slots)
        if n != len(mel) or n > self._spec.encode_batch:
            raise InvalidOption("slots", n, f"as many as mel windows ({len(mel)}), at most {self._spec.encode_batch}")
        size = n if n in self._spec.encode_batches else 1
        for start in range(0, n, size):
            self._run(mel[start : start + size], np.array(slots[start : start + size], np.int32))

    def prefill(self, slot: int, inputs: PrefillInputs) -> PrefillOutput:
        self._spec.check_beams(inputs.beams)
        length = len(inputs.prompt)
        rules_end = layout.PROMPT_COLUMNS + N_RULES
        words_end = rules_end + layout.count_suppression_words(self._spec.dims.n_vocab)
        packed = np.zeros((1, words_end + self._spec.bucket_for(length)), np.int32)
        packed[0, layout.SLOT], packed[0, layout.SOT], packed[0, layout.LAST] = slot, inputs.sot_index, length - 1
        packed[0, layout.PROMPT_COLUMNS : rules_end] = inputs.rules
        packed[0, rules_end:words_end] = pack_suppressed(inputs.suppressed)
        packed[0, words_end:][:length] = inputs.prompt
        self._beam_widths[slot] = inputs.beams
        top_tokens, floats = self._run(packed)
        languages = self._spec.special.n_languages
        return PrefillOutput(
            language_logprobs=floats[:languages].copy(),
            no_speech_prob=float(floats[languages]),
            top_tokens=TopTokens.from_graph_output(top_tokens, floats[None, languages + 1 :]),
        )

    def decode(self, inputs: StepInputs) -> TopTokens:
        in_use, top_tokens, logprobs = self._run_step(layout.STEP_COLUMNS + N_RULES, inputs)
        return TopTokens.from_graph_output(top_tokens, logprobs).mask_rows(in_use)

    def logits(self, inputs: StepInputs) -> NDArray[np.float32]:
        in_use, _, logprobs = self._run_step(layout.LOGITS_COLUMNS, inputs)
        return np.where(in_use.reshape(-1, 1), mask_logprobs(logprobs), np.float32(-np.inf))

    def _run_step(
        self, columns: int, inputs: StepInputs
    ) -> tuple[NDArray[np.bool_], NDArray[np.int32], NDArray[np.float32]]:
        """(rows in use (S, B), the outputs of the step graph whose input has `columns` columns)."""
        in_use = rows_in_use(inputs.active, self._beam_widths, self._spec.beams)
        parents = resolve_beam_parents(inputs.parents, in_use)
        packed = np.zeros((self._spec.rows, columns), np.int32)
        packed[:, layout.TOKEN], packed[:, layout.POSITION] = inputs.tokens, inputs.positions
        packed[:, layout.PARENT], packed[:, layout.ACTIVE] = parents.reshape(-1), in_use.reshape(-1)
        packed[:, layout.STEP_COLUMNS : layout.STEP_COLUMNS + N_RULES] = inputs.rules
        return in_use, *self._run(packed)

    def align(self, slot: int, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
        length = len(tokens)
        bucket = next((b for b in self._spec.align_buckets if length <= b), 0)
        if not bucket:
            raise InvalidOption("align", length, f"token counts up to one of {list(self._spec.align_buckets)}")
        padded = np.zeros((1, bucket), np.int32)
        padded[0, :length] = tokens
        _, weights = self._run(np.array([slot], np.int32), padded)
        return weights[:, :length].copy()

    def close(self) -> None:
        if self._graphs is not None:
            self._graphs.close()
        self._graphs = None


def pack_suppressed(suppressed: NDArray[np.bool_]) -> NDArray[np.int32]:
    """(V,) -> (W,) words: bit b of word w is token SUPPRESSION_WORD_BITS * w + b."""
    bits = np.zeros(layout.SUPPRESSION_WORD_BITS * layout.count_suppression_words(len(suppressed)), np.bool_)
    bits[: len(suppressed)] = suppressed
    return np.packbits(bits, bitorder="little").view("<u2").astype(np.int32)
