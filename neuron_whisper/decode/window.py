"""WindowDecoding: the state machine of one window, from its prompt to a Hypothesis. Pure: no device, no clock."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.audio.clip import WINDOW_FRAMES
from neuron_whisper.decode.alignment import alignment_tokens
from neuron_whisper.decode.constraints import NO_RULES, banned_mask
from neuron_whisper.decode.options import WindowOptions
from neuron_whisper.decode.repetition import cut_loop, loop_start
from neuron_whisper.decode.segments import split_at_timestamps
from neuron_whisper.decode.token_decoders import Attempt, BeamSearch, Greedy, Hypo, Limits, Sampling
from neuron_whisper.errors import InvalidOption
from neuron_whisper.target.interfaces import Choices, PrefillAnswer, ProgramSpec
from neuron_whisper.text.tokenizer import Tokenizer

LOOP_TOKENS = 96  # a loop of so many text tokens does not end before the window's tokens do
LOOP_EVERY = 16  # tokens between two looks


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowAsk:
    """A window to decode: mel (n_mels, 3000) float32, of which the first `frames` hold audio, and how."""

    mel: NDArray[np.float32]
    options: WindowOptions
    frames: int = WINDOW_FRAMES


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """One temperature, and why its text was not taken: "compression_ratio", "avg_logprob", "" where it was."""

    temperature: float
    avg_logprob: float
    compression_ratio: float
    rejected_for: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """What a window was decoded to.

    `tokens` carry timestamps and no end token; `token_logprobs` has one for each. `language` is None for an
    English-only model; `language_probs` is empty where the language was given. `avg_logprob` counts the end token.
    `attempts` are the temperatures tried, the one that was taken last. `is_silence`: by the thresholds it is
    none. `is_cut`: a loop at its end was taken off.
    With word timestamps `attention` (heads, T, n_audio_ctx) is that of the align graph for the text tokens of
    decode/segments.split_at_timestamps, its first row that looks for text is `aligned_row`.
    """

    tokens: tuple[int, ...]
    text: str
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    temperature: float
    language: str | None
    language_probs: Mapping[str, float]
    token_logprobs: tuple[float, ...] = ()
    attempts: tuple[AttemptRecord, ...] = ()
    is_silence: bool = False
    is_cut: bool = False
    aligned_row: int = 0
    attention: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefillAsk:
    """Arguments of Session.prefill but the slot."""

    prompt: NDArray[np.int32]
    sot_index: int
    rules: NDArray[np.int32]
    banned: NDArray[np.bool_]
    beams: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepAsk:
    """Rows of Session.decode, or of Session.logits where `wants_logits`, from the slot's first on."""

    tokens: Sequence[int]
    parents: Sequence[int]
    position: int
    rules: Sequence[NDArray[np.int32]]
    wants_logits: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignAsk:
    """Arguments of Session.align but the slot."""

    tokens: NDArray[np.int32]


@dataclass(slots=True)
class _Found:
    """What is known of the window before its text."""

    language: str | None
    language_probs: Mapping[str, float] = field(default_factory=dict)
    no_speech_prob: float = 0.0


class WindowDecoding:
    """Decodes one window: alternate `ask()` and the `receive_...` of its kind until `hypothesis` is there.

    Detect the language (a prompt of one token) -> an attempt for each temperature until one passes the gates: the
    prompt, then one step per token -> with word timestamps, the alignment. Every attempt reuses the
    slot's cross-K/V.
    """

    def __init__(self, options: WindowOptions, tokenizer: Tokenizer, spec: ProgramSpec, frames: int = WINDOW_FRAMES):
        """Raises InvalidOption when the program has no room for what is asked."""
        self._options, self._tokenizer, self._spec, self._frames = options, tokenizer, spec, frames
        self._special = tokenizer.special
        if (options.beam_size or 1) > spec.beams:
            raise InvalidOption(
                "beam_size", options.beam_size, f"at most {spec.beams} with this artifact; compile it with --beams"
            )
        if options.word_timestamps and not spec.align_buckets:
            raise InvalidOption("word_timestamps", True, "false with this artifact, compiled with shapes.align = false")
        self._found = _Found(options.language)
        self._records: list[AttemptRecord] = []
        self._attempt: Attempt | None = None
        self._prompt_tokens: list[int] = []
        self._sot_index = 0
        self._said: list[int] = []  # the prefix, where the window tells it
        self._is_prompted = False
        self._align: AlignAsk | None = None
        self._final: Hypothesis | None = None
        self.hypothesis: Hypothesis | None = None

    @property
    def _detects(self) -> bool:
        return self._found.language is None and self._special.is_multilingual

    def ask(self) -> PrefillAsk | StepAsk | AlignAsk:
        """What the device must answer next."""
        if self._align is not None:
            return self._align
        if self._detects:
            return PrefillAsk(
                prompt=np.array([self._special.sot], np.int32),
                sot_index=0,
                rules=NO_RULES,
                banned=np.zeros(self._spec.dims.n_vocab, np.bool_),
                beams=1,
            )
        attempt = self._attempt or self._begin_attempt()
        if not self._is_prompted:
            return PrefillAsk(
                prompt=np.array(self._prompt_tokens, np.int32),
                sot_index=self._sot_index,
                rules=attempt.rules()[0],
                banned=banned_mask(self._spec.dims.n_vocab, self._special, self._options),
                beams=attempt.rows,
            )
        tokens, parents = attempt.step()
        last = self._prompt_tokens[-1]
        return StepAsk(
            tokens=[last if token < 0 else token for token in tokens],
            parents=parents,
            position=len(self._prompt_tokens) + attempt.length - 1,
            rules=attempt.rules(),
            wants_logits=attempt.wants_logits,
        )

    # --- the prompt -------------------------------------------------------------------------------

    def _prompt(self) -> tuple[list[int], int]:
        """[previous-text token, hotwords, prompt], start sequence, prefix; and where the start token is."""
        options, special = self._options, self._special
        sot = self._tokenizer.sot_sequence(self._found.language, options.task, not options.without_timestamps)
        half = self._spec.dims.n_text_ctx // 2
        room = self._spec.prompt_buckets[-1] - 1 - len(sot)
        prefix = list(options.prefix)[: max(0, min(half, room))]
        self._said = prefix if options.tells_prefix else []
        room = max(0, min(half - 1, room - len(prefix)))
        hotwords = [] if prefix else list(options.hotwords)[: room // 2]
        room -= len(hotwords)
        previous = list(options.prompt)[-room:] if room > 0 else []
        before = [special.sot_prev, *hotwords, *previous] if hotwords or previous else []
        return [*before, *sot, *prefix], len(before)

    def _begin_attempt(self) -> Attempt:
        options = self._options
        self._prompt_tokens, self._sot_index = self._prompt()
        half = self._spec.dims.n_text_ctx // 2
        # openai/whisper decoding.py: half the context at most, and nothing that has no position
        room = self._spec.text_context - len(self._prompt_tokens) + 1
        limits = Limits(
            special=self._special,
            options=options,
            said=self._said,
            most_tokens=max(1, min(options.max_new_tokens or half, half, room)),
        )
        rung = len(self._records)
        temperature = options.temperatures[rung]
        if temperature > 0:
            self._attempt = Sampling(limits, temperature, rows=self._spec.beams, seed=(options.seed, rung))
        elif (options.beam_size or 1) > 1:
            self._attempt = BeamSearch(limits)
        else:
            self._attempt = Greedy(limits)
        self._is_prompted = False
        return self._attempt

    # --- answers ----------------------------------------------------------------------------------

    def receive_prefill(self, answer: PrefillAnswer) -> None:
        """The answer to a PrefillAsk."""
        if self._detects:
            self._take_language(np.exp(answer.language_logprobs))
            return
        assert self._attempt is not None
        self._is_prompted = True
        self._found.no_speech_prob = answer.no_speech_prob
        self._attempt.begin(answer.choices.tokens[0], answer.choices.logprobs[0])
        self._look()

    def _take_language(self, probs: NDArray[np.float32]) -> None:
        codes = self._tokenizer.languages
        self._found.language_probs = {code: float(p) for code, p in zip(codes, probs, strict=True)}
        allowed = [code for code in codes if code in self._options.languages] or list(codes)
        self._found.language = max(allowed, key=lambda code: self._found.language_probs[code])

    def receive_step(self, choices: Choices, row: int) -> None:
        """The answer to a StepAsk for choices, whose rows went in from row `row` on."""
        assert self._attempt is not None
        rows = slice(row, row + self._attempt.rows)
        self._attempt.receive(choices.tokens[rows], choices.logprobs[rows])
        self._look()

    def receive_logits(self, logprobs: NDArray[np.float32], row: int) -> None:
        """The answer to a StepAsk for log-probabilities."""
        assert self._attempt is not None
        self._attempt.receive_logits(logprobs[row : row + self._attempt.rows])
        self._look()

    def receive_alignment(self, attention: NDArray[np.float32]) -> None:
        """The answer to an AlignAsk."""
        assert self._final is not None
        self._align = None
        self.hypothesis = replace(self._final, attention=attention)

    # --- gates ------------------------------------------------------------------------------------

    @property
    def _is_last_rung(self) -> bool:
        return len(self._records) == len(self._options.temperatures) - 1

    def _look(self) -> None:
        """Whether the attempt is done, or hopeless; and if so, what comes next."""
        attempt = self._attempt
        assert attempt is not None
        best = attempt.best
        if best is None and isinstance(attempt, Greedy) and self._is_looping(attempt.sampled):
            best = attempt.give_up()
        if best is not None:
            self._judge(best)

    def _is_looping(self, sampled: Sequence[int]) -> bool:
        """A text that repeats itself and fails the gate already: the rest would be decoded for nothing."""
        limit = self._options.compression_ratio_threshold
        if limit is None or self._is_last_rung or len(sampled) < LOOP_TOKENS or len(sampled) % LOOP_EVERY:
            return False
        words = [token for token in sampled if token < self._special.eot]
        return (
            loop_start(words, shortest=LOOP_TOKENS) is not None
            and compression_ratio(self._tokenizer.decode(sampled).strip()) > limit
        )

    def _judge(self, best: Hypo) -> None:
        options = self._options
        text = self._tokenizer.decode(best.tokens).strip()
        ratio, average = compression_ratio(text), best.avg_logprob
        temperature = options.temperatures[len(self._records)]
        limit, floor = options.compression_ratio_threshold, options.logprob_threshold
        is_unlikely = floor is not None and average < floor
        rejected_for = ""
        if limit is not None and ratio > limit:
            rejected_for = "compression_ratio"
        elif is_unlikely:
            rejected_for = "avg_logprob"
        if is_unlikely and self._is_silent(average):
            rejected_for = ""  # silence has no likely text at any temperature
        self._records.append(
            AttemptRecord(
                temperature=temperature, avg_logprob=average, compression_ratio=ratio, rejected_for=rejected_for
            )
        )
        self._attempt = None
        if not rejected_for or len(self._records) == len(options.temperatures):
            self._finish(best, text, ratio)

    def _is_silent(self, average: float) -> bool:
        """Whether the window is skipped: likely no speech, and the text is not likely either."""
        threshold, floor = self._options.no_speech_threshold, self._options.logprob_threshold
        if threshold is None or self._found.no_speech_prob <= threshold:
            return False
        return floor is None or average <= floor

    def _finish(self, best: Hypo, text: str, ratio: float) -> None:
        tokens, is_cut = best.tokens, False
        limit = self._options.compression_ratio_threshold
        if self._options.repetition_cut and limit is not None and ratio > limit:
            kept = cut_loop(tokens, self._special.eot)
            is_cut = len(kept) < len(tokens)
            tokens, text = kept, self._tokenizer.decode(kept).strip()
        average = best.avg_logprob
        final = Hypothesis(
            tokens=(*self._said, *tokens),
            text=self._tokenizer.decode([*self._said, *tokens]).strip() if self._said else text,
            avg_logprob=average,
            no_speech_prob=self._found.no_speech_prob,
            compression_ratio=compression_ratio(text) if is_cut else ratio,
            temperature=self._records[-1].temperature,
            language=self._found.language if self._special.is_multilingual else None,
            language_probs=self._found.language_probs,
            token_logprobs=(*(0.0 for _ in self._said), *best.logprobs[: len(tokens)]),
            attempts=tuple(self._records),
            is_silence=self._is_silent(average),
            is_cut=is_cut,
        )
        if self._options.word_timestamps and not final.is_silence:
            final = self._begin_alignment(final)
        if self._align is None:
            self.hypothesis = final
        self._final = final

    def _begin_alignment(self, final: Hypothesis) -> Hypothesis:
        spans, _ = split_at_timestamps(
            final.tokens, self._special.timestamp_begin, seek_frames=0, window_frames=self._frames
        )
        text = [token for span in spans for token in span.tokens if token < self._special.eot]
        if not text:
            return final
        asked = alignment_tokens(
            self._tokenizer,
            text,
            language=self._found.language,
            task=self._options.task,
            longest=self._spec.align_buckets[-1],
        )
        self._align = AlignAsk(tokens=asked.tokens)
        return replace(final, aligned_row=asked.first_row)


def compression_ratio(text: str) -> float:
    """Bytes of the text by bytes of its zlib form: high where text repeats. 0 for no text."""
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw)) if raw else 0.0
