"""NeuronSession: runs the compiled bundle on slots. Only tokens and log-probabilities are copied to the host."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from neuron_whisper.errors import DeviceError, InvalidOption
from neuron_whisper.graph.dtypes import TORCH_DTYPES
from neuron_whisper.profile import CompileProfile
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
from neuron_whisper.target.neuron.lowering.layout import GRAPHS_FILE, weights_file
from neuron_whisper.target.neuron.runtime.core_allocation import explain_load_failure, reserve_cores

GraphRunner = Callable[..., tuple[Tensor, Tensor]]
"""runner(*inputs): runs the graph that takes inputs of these shapes -> its int32 and its float32 output."""


def load_bundle(directory: Path, tp: int, cores: str) -> GraphRunner:
    """Load the bundle, each rank's weights on its core. Raises DeviceError with the runtime's message."""
    try:
        import_module("torch_neuronx")  # registers the classes of the bundle's objects
        bundle = torch.jit.load(directory / GRAPHS_FILE)  # type: ignore[no-untyped-call] # torch leaves it untyped
        weights = [load_file(weights_file(directory, rank)) for rank in range(tp)]
        bundle.nxd_model.initialize(weights, torch.tensor([0], dtype=torch.int32))
    except (RuntimeError, torch.jit.Error) as error:  # of the runtime, and of NxD's TorchScript
        raise explain_load_failure(error, cores) from error
    program: Any = bundle.nxd_model
    # Not the bundle's own forward: it takes as many inputs as the graph traced last; these graphs differ.
    return lambda *inputs: program.forward(list(inputs))


class NeuronSession:
    """Session on the bundle that target/neuron/lowering writes. Each graph's first call is slow: `warm_up` makes it."""

    def __init__(self, spec: ProgramSpec, execute: GraphRunner, dtype: torch.dtype) -> None:
        self._spec, self._dtype = spec, dtype
        self._execute: GraphRunner | None = execute
        self._beam_widths = np.ones(spec.slots, np.int32)  # rows that each slot decodes in, set by its prefill

    @classmethod
    def load(cls, directory: Path, spec: ProgramSpec, profile: CompileProfile) -> NeuronSession:
        cores = reserve_cores(os.environ, profile.target.tp)
        session = cls(spec, load_bundle(directory, profile.target.tp, cores), TORCH_DTYPES[profile.target.dtype])
        session.warm_up()
        return session

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

    def _run(self, *inputs: Tensor) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        if self._execute is None:
            raise DeviceError("the session is closed")
        try:
            with torch.inference_mode():
                ints, floats = self._execute(*inputs)
        except (RuntimeError, torch.jit.Error) as error:
            raise DeviceError(f"the Neuron runtime: {error}") from error
        return ints.numpy(), floats.numpy()

    def encode(self, slots: Sequence[int], mel: NDArray[np.float32]) -> None:
        n = len(slots)
        if n != len(mel) or n > self._spec.encode_batch:
            raise InvalidOption("slots", n, f"as many as mel windows ({len(mel)}), at most {self._spec.encode_batch}")
        size = n if n in self._spec.encode_batches else 1
        for start in range(0, n, size):
            windows = torch.tensor(mel[start : start + size]).to(self._dtype)
            self._run(windows, torch.tensor(slots[start : start + size], dtype=torch.int32))

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
        top_tokens, floats = self._run(torch.from_numpy(packed))
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
        return in_use, *self._run(torch.from_numpy(packed))

    def align(self, slot: int, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
        length = len(tokens)
        bucket = next((b for b in self._spec.align_buckets if length <= b), 0)
        if not bucket:
            raise InvalidOption("align", length, f"token counts up to one of {list(self._spec.align_buckets)}")
        padded = np.zeros((1, bucket), np.int32)
        padded[0, :length] = tokens
        _, weights = self._run(torch.tensor([slot], dtype=torch.int32), torch.from_numpy(padded))
        return weights[:, :length].copy()

    def close(self) -> None:
        self._execute = None


def pack_suppressed(suppressed: NDArray[np.bool_]) -> NDArray[np.int32]:
    """(V,) -> (W,) words: bit b of word w is token SUPPRESSION_WORD_BITS * w + b."""
    bits = np.zeros(layout.SUPPRESSION_WORD_BITS * layout.count_suppression_words(len(suppressed)), np.bool_)
    bits[: len(suppressed)] = suppressed
    return np.packbits(bits, bitorder="little").view("<u2").astype(np.int32)
