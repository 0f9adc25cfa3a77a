"""WindowDecoding: the state machine of one window, from its prompt to a Hypothesis. Pure: no device, no clock."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.decode.options import WindowOptions
from neuron_whisper.decode.rules import NO_RULES, banned_mask, next_rules
from neuron_whisper.target.contract import Choices, PrefillAnswer, ProgramSpec
from neuron_whisper.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowAsk:
    """A window to decode: mel (n_mels, 3000) float32, and how."""

    mel: NDArray[np.float32]
    options: WindowOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """What a window was decoded to.

    `tokens` carry timestamps and no end token. `language` is None for an English-only model;
    `language_probs` is empty where the language was given. `avg_logprob` counts the end token.
    """

    tokens: tuple[int, ...]
    text: str
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    temperature: float
    language: str | None
    language_probs: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefillAsk:
    """Arguments of Session.prefill but the slot."""

    prompt: NDArray[np.int32]
    sot_index: int
    rules: NDArray[np.int32]
    banned: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepAsk:
    """One row of Session.decode."""

    token: int
    position: int
    rules: NDArray[np.int32]


class WindowDecoding:
    """Greedy decoding of one window.

    Alternate `ask()` and `receive_prefill()` or `receive_step()` until `hypothesis` is there:
    detect the language (a prompt of one token) -> the prompt -> one step per token.
    """

    def __init__(self, options: WindowOptions, tokenizer: Tokenizer, spec: ProgramSpec) -> None:
        self._options, self._tokenizer, self._spec = options, tokenizer, spec
        self._special = tokenizer.special
        self._language = options.language
        self._language_probs: Mapping[str, float] = {}
        self._sampled: list[int] = []
        self._sum_logprob = 0.0
        self._no_speech_prob = 0.0
        self._prompt_length = 0
        self._is_prompted = False
        self.hypothesis: Hypothesis | None = None

    @property
    def _detects(self) -> bool:
        return self._language is None and self._special.is_multilingual

    def ask(self) -> PrefillAsk | StepAsk:
        """What the device must answer next."""
        if self._detects:
            return PrefillAsk(
                prompt=np.array([self._special.sot], np.int32),
                sot_index=0,
                rules=NO_RULES,
                banned=np.zeros(self._spec.dims.n_vocab, np.bool_),
            )
        rules = next_rules(self._sampled, self._special, self._options)
        if not self._is_prompted:
            prompt, sot_index = self._prompt()
            self._prompt_length = len(prompt)
            banned = banned_mask(self._spec.dims.n_vocab, self._special, self._options)
            return PrefillAsk(prompt=prompt, sot_index=sot_index, rules=rules, banned=banned)
        position = self._prompt_length + len(self._sampled) - 1
        return StepAsk(token=self._sampled[-1], position=position, rules=rules)

    def _prompt(self) -> tuple[NDArray[np.int32], int]:
        sot = self._tokenizer.sot_sequence(self._language, self._options.task, not self._options.without_timestamps)
        longest = min(self._spec.dims.n_text_ctx // 2 - 1, self._spec.prompt_buckets[-1] - 1 - len(sot))
        previous = list(self._options.prompt)[-longest:] if longest > 0 else []
        before = [self._special.sot_prev, *previous] if previous else []
        return np.array([*before, *sot], np.int32), len(before)

    def receive_prefill(self, answer: PrefillAnswer) -> None:
        """The answer to a PrefillAsk."""
        if self._detects:
            probs = np.exp(answer.language_logprobs)
            codes = self._tokenizer.languages
            self._language_probs = {code: float(p) for code, p in zip(codes, probs, strict=True)}
            self._language = codes[int(np.argmax(probs))]
            return
        self._is_prompted = True
        self._no_speech_prob = answer.no_speech_prob
        self._take(int(answer.choices.tokens[0, 0]), float(answer.choices.logprobs[0, 0]))

    def receive_step(self, choices: Choices, row: int) -> None:
        """The answer to a StepAsk, which went in as row `row`."""
        self._take(int(choices.tokens[row, 0]), float(choices.logprobs[row, 0]))

    def _take(self, token: int, logprob: float) -> None:
        self._sum_logprob += logprob
        if token == self._special.eot:
            self._finish()
            return
        self._sampled.append(token)
        # openai/whisper decoding.py: half the context at most, and nothing that has no position
        length = self._prompt_length + len(self._sampled)
        if len(self._sampled) >= self._spec.dims.n_text_ctx // 2 or length > self._spec.text_context:
            self._finish()

    def _finish(self) -> None:
        text = self._tokenizer.decode(self._sampled).strip()
        self.hypothesis = Hypothesis(
            tokens=tuple(self._sampled),
            text=text,
            avg_logprob=self._sum_logprob / (len(self._sampled) + 1),
            no_speech_prob=self._no_speech_prob,
            compression_ratio=compression_ratio(text),
            temperature=0.0,
            language=self._language if self._special.is_multilingual else None,
            language_probs=self._language_probs,
        )


def compression_ratio(text: str) -> float:
    """Bytes of the text by bytes of its zlib form: high where text repeats. 0 for no text."""
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw)) if raw else 0.0
