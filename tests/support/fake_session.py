"""FakeSession: a Session without a network, whose logits are a fixed function of the window and the tokens so far."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.decode.rules import apply_rules
from neuron_whisper.errors import DeviceError
from neuron_whisper.target.interfaces import (
    PrefillInputs,
    PrefillOutput,
    ProgramSpec,
    StepInputs,
    TopTokens,
    resolve_beam_parents,
    rows_in_use,
)

STEP_TIMEOUT_S = 30.0


class FakeSession:
    """Keeps slots, beams, rules and suppression as a real session does.

    Every step waits for `gate`, which tests clear; `fault_at` is the step that raises DeviceError; `end_after` is the
    number of sampled tokens after which the end token is certain.
    """

    def __init__(self, spec: ProgramSpec, *, end_after: int = 12, fault_at: int | None = None) -> None:
        self._spec = spec
        self.gate = threading.Event()
        self.gate.set()
        self._step_reached = threading.Event()
        self.decode_calls = 0
        self.encoded_batches: list[int] = []
        self.active_per_step: list[int] = []
        self._end_after, self._fault_at = end_after, fault_at
        self._window_checksums: dict[int, int] = {}
        self._row_tokens: dict[int, list[int]] = {row: [] for row in range(spec.rows)}
        self._prompt_length: dict[int, int] = {}
        self._beam_widths = np.ones(spec.slots, np.int32)
        self._suppressed = np.zeros((spec.slots, spec.dims.n_vocab), np.bool_)
        self.is_closed = False

    @property
    def spec(self) -> ProgramSpec:
        return self._spec

    def wait_for_step(self) -> None:
        """Until the first step was begun, at a closed gate or not."""
        assert self._step_reached.wait(STEP_TIMEOUT_S), "no step"

    def _check_open(self) -> None:
        if self.is_closed:
            raise DeviceError("the session is closed")

    def logits_after(self, slot: int, tokens: Sequence[int]) -> NDArray[np.float32]:
        """The logits (V,) after `tokens` for the slot's window."""
        seed = zlib.crc32(np.array([self._window_checksums[slot], *tokens], np.int64).tobytes())
        logits = np.random.default_rng(seed).standard_normal(self._spec.dims.n_vocab).astype(np.float32) * 3
        if len(tokens) >= self._prompt_length[slot] + self._end_after:
            logits[self._spec.special.eot] = 60
        return logits

    def _logprobs(self, slot: int, tokens: Sequence[int], rules: NDArray[np.int32]) -> NDArray[np.float32]:
        return apply_rules(self.logits_after(slot, tokens), rules, self._suppressed[slot], self._spec.special)

    def _choose_top(self, logprobs: NDArray[np.float32]) -> NDArray[np.int32]:
        return np.argsort(-logprobs, kind="stable")[: self._spec.choices].astype(np.int32)

    def encode(self, slots: Sequence[int], mel: NDArray[np.float32]) -> None:
        self._check_open()
        assert len(slots) == len(mel) <= self._spec.encode_batch
        self.encoded_batches.append(len(slots))
        for slot, window in zip(slots, mel, strict=True):
            self._window_checksums[slot] = zlib.crc32(window.tobytes())

    def prefill(self, slot: int, inputs: PrefillInputs) -> PrefillOutput:
        self._check_open()
        self._spec.check_beams(inputs.beams)
        prompt = inputs.prompt.tolist()
        self._spec.bucket_for(len(prompt))
        self._suppressed[slot], self._beam_widths[slot] = inputs.suppressed, inputs.beams
        self._prompt_length[slot] = len(prompt)
        for beam in range(inputs.beams):
            self._row_tokens[slot * self._spec.beams + beam] = prompt
        special = self._spec.special
        at_sot = self.logits_after(slot, prompt[: inputs.sot_index + 1])
        languages = at_sot[special.first_language : special.first_language + special.n_languages]
        logprobs = self._logprobs(slot, prompt, inputs.rules)
        best = self._choose_top(logprobs)
        return PrefillOutput(
            language_logprobs=(languages - np.log(np.exp(languages).sum())).astype(np.float32),
            no_speech_prob=float(np.exp(at_sot[special.no_speech]) / np.exp(at_sot).sum()),
            top_tokens=TopTokens(tokens=best[None], logprobs=logprobs[best][None]),
        )

    def decode(self, inputs: StepInputs) -> TopTokens:
        output = TopTokens.empty(self._spec.rows, self._spec.choices)
        for row, logprobs in self._run_step(inputs):
            output.tokens[row] = self._choose_top(logprobs)
            output.logprobs[row] = logprobs[output.tokens[row]]
        return output

    def logits(self, inputs: StepInputs) -> NDArray[np.float32]:
        output = np.full((self._spec.rows, self._spec.dims.n_vocab), -np.inf, np.float32)
        for row, logprobs in self._run_step(inputs):
            output[row] = logprobs
        return output

    def _run_step(self, inputs: StepInputs) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """(row, its log-probabilities (V,)) of the rows in use; every call counts in `decode_calls`."""
        self._check_open()
        self._step_reached.set()
        self.gate.wait()
        self.decode_calls += 1
        self.active_per_step.append(int(inputs.active.sum()))
        if self.decode_calls == self._fault_at:
            raise DeviceError("the device does not answer")
        beams = self._spec.beams
        in_use = rows_in_use(inputs.active, self._beam_widths, beams)
        source = resolve_beam_parents(inputs.parents, in_use)
        before = {row: list(history) for row, history in self._row_tokens.items()}
        for slot, beam in np.argwhere(in_use).tolist():
            row = slot * beams + beam
            history = before[slot * beams + int(source[slot, beam])][: inputs.positions[row]]
            self._row_tokens[row] = [*history, int(inputs.tokens[row])]
            yield row, self._logprobs(slot, self._row_tokens[row], inputs.rules[row])

    def align(self, slot: int, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
        self._check_open()
        heads, frames = len(self._spec.alignment_heads), self._spec.dims.n_audio_ctx
        attention = np.full((heads, len(tokens), frames), 0.1 / frames, np.float32)
        token = np.arange(len(tokens))  # a token every 20 ms
        attention[:, token, token % frames] += np.float32(0.9)
        return attention

    def close(self) -> None:
        self.is_closed = True
