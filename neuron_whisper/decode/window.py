"""WindowDecoder: the state machine of one window, from its prompt to a DecodingResult. Pure: no device, no clock."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.audio.clip import WINDOW_FRAMES
from neuron_whisper.decode.alignment import build_alignment_tokens
from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.decode.prompt import PromptLimits, fit_prompt
from neuron_whisper.decode.repetition import find_loop_start, truncate_loop
from neuron_whisper.decode.rules import ALLOW_ALL_RULES, build_suppression_mask
from neuron_whisper.decode.segments import split_at_timestamps
from neuron_whisper.decode.token_decoders import (
    BeamSearchDecoder,
    DecoderConfig,
    GreedyDecoder,
    SamplingDecoder,
    TokenDecoder,
    TokenSequence,
)
from neuron_whisper.decode.window_options import WindowOptions
from neuron_whisper.errors import InvalidOption
from neuron_whisper.target.interfaces import PrefillInputs, PrefillOutput, ProgramSpec, TopTokens
from neuron_whisper.text.tokenizer import Tokenizer

EARLY_STOP_LOOP_TOKENS = 96  # a loop this long goes on to the window's last token
DOOM_CHECK_INTERVAL = 16  # tokens between two checks whether an attempt can still be accepted


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRequest:
    """A window to decode: mel (n_mels, 3000) float32, of which the first `frames` hold audio, and its options."""

    mel: NDArray[np.float32]
    options: WindowOptions
    frames: int = WINDOW_FRAMES


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodingAttempt:
    """Decoding at one temperature; `rejection_reason` is "compression_ratio", "avg_logprob", or "" if accepted.

    One that was bound to be rejected was given up before its end: figures and reason are of its text until then.
    """

    temperature: float
    avg_logprob: float
    compression_ratio: float
    rejection_reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodingResult:
    """The result of one window.

    `tokens` carry timestamps and no end token; `token_logprobs` has one for each. `language` is None for an
    English-only model; `language_probs` is empty if the language was given. `avg_logprob` counts the end token.
    `attempts` are the temperatures tried, the accepted one last. `is_silence`: the no-speech threshold applies.
    `is_truncated`: a repetition loop at its end was removed. `finish_reason`: "stop" at the end token, "length" where
    the tokens reached their maximum before it.
    With word timestamps `attention` (heads, T, n_audio_ctx) is the align graph's output for the text tokens of
    decode/segments.split_at_timestamps; row `first_aligned_row` belongs to the first of them.
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
    attempts: tuple[DecodingAttempt, ...] = ()
    is_silence: bool = False
    is_truncated: bool = False
    finish_reason: Literal["stop", "length"] = "stop"
    first_aligned_row: int = 0
    attention: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRequest:
    """Rows for Session.decode, or Session.logits if `needs_logits`, from the slot's first row on."""

    tokens: Sequence[int]
    parents: Sequence[int]
    position: int
    rules: Sequence[NDArray[np.int32]]
    needs_logits: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignRequest:
    """Arguments of Session.align, without the slot."""

    tokens: NDArray[np.int32]


@dataclass(slots=True)
class _Detection:
    """Language and no-speech probability of the window, known before its text."""

    language: str | None
    language_probs: Mapping[str, float] = field(default_factory=dict)
    no_speech_prob: float = 0.0


def check_program_options(options: WindowOptions | TranscribeOptions, spec: ProgramSpec) -> None:
    """Raises InvalidOption if the program lacks the beams or the align graph that the options need."""
    if (options.beam_size or 1) > spec.beams:
        raise InvalidOption(
            "beam_size", options.beam_size, f"at most {spec.beams} with this artifact; compile it with --beams"
        )
    if options.word_timestamps and not spec.align_buckets:
        raise InvalidOption("word_timestamps", True, "false with this artifact, compiled with shapes.align = false")


class WindowDecoder:
    """Decodes one window: alternate `next_request()` and the matching `receive_...` until `result` is not None.

    Detects the language (a prompt of one token) -> decodes at each temperature until one passes the fallback
    thresholds: the prompt, then one step per token -> aligns, with word timestamps. Every attempt reuses the slot's
    cross-attention K/V.
    """

    def __init__(self, options: WindowOptions, tokenizer: Tokenizer, spec: ProgramSpec, frames: int = WINDOW_FRAMES):
        """Raises InvalidOption if the program lacks the beams or the align graph that the options need."""
        self._options, self._tokenizer, self._spec, self._frames = options, tokenizer, spec, frames
        self._special = tokenizer.special
        check_program_options(options, spec)
        self._detection = _Detection(options.language)
        self._attempts: list[DecodingAttempt] = []
        self._decoder: TokenDecoder | None = None
        self._config: DecoderConfig | None = None  # of the decoder
        self._prompt_tokens: list[int] = []
        self._sot_index = 0
        self._prefix_tokens: list[int] = []  # the prefix, if it is part of the result
        self._is_prompted = False
        self._align_request: AlignRequest | None = None
        self._unaligned_result: DecodingResult | None = None
        self.result: DecodingResult | None = None

    @property
    def _needs_language(self) -> bool:
        return self._detection.language is None and self._special.is_multilingual

    def next_request(self) -> PrefillInputs | StepRequest | AlignRequest:
        """The next device call."""
        if self._align_request is not None:
            return self._align_request
        if self._needs_language:
            return PrefillInputs(
                prompt=np.array([self._special.sot], np.int32),
                sot_index=0,
                rules=ALLOW_ALL_RULES,
                suppressed=np.zeros(self._spec.dims.n_vocab, np.bool_),
                beams=1,
            )
        decoder = self._decoder or self._begin_attempt()
        if not self._is_prompted:
            return PrefillInputs(
                prompt=np.array(self._prompt_tokens, np.int32),
                sot_index=self._sot_index,
                rules=decoder.next_rules()[0],
                suppressed=build_suppression_mask(self._spec.dims.n_vocab, self._special, self._options),
                beams=decoder.rows,
            )
        tokens, parents = decoder.next_tokens()
        last = self._prompt_tokens[-1]
        return StepRequest(
            tokens=[last if token < 0 else token for token in tokens],
            parents=parents,
            position=len(self._prompt_tokens) + decoder.length - 1,
            rules=decoder.next_rules(),
            needs_logits=decoder.needs_logits,
        )

    # --- the prompt -------------------------------------------------------------------------------

    def _build_prompt(self) -> tuple[list[int], int]:
        """Returns [<|startofprev|>, hotwords, prompt], start sequence, prefix; and the index of <|sot|>."""
        options, special = self._options, self._special
        sot = self._tokenizer.sot_sequence(self._detection.language, options.task, not options.without_timestamps)
        fitted = fit_prompt(options, PromptLimits.from_spec(self._spec), n_start_tokens=len(sot))
        self._prefix_tokens = list(fitted.prefix) if options.include_prefix else []
        before = [*fitted.hotwords, *fitted.previous]
        before = [special.sot_prev, *before] if before else []
        return [*before, *sot, *fitted.prefix], len(before)

    def _begin_attempt(self) -> TokenDecoder:
        options = self._options
        self._prompt_tokens, self._sot_index = self._build_prompt()
        half = self._spec.dims.n_text_ctx // 2
        # openai/whisper decoding.py: at most half the text context, and only tokens that have a position
        room = self._spec.text_context - len(self._prompt_tokens) + 1
        self._config = config = DecoderConfig(
            special=self._special,
            options=options,
            prefix_tokens=self._prefix_tokens,
            max_tokens=max(1, min(options.max_new_tokens or half, half, room)),
        )
        n_tried = len(self._attempts)
        temperature = options.temperatures[n_tried]
        if temperature > 0:
            self._decoder = SamplingDecoder(config, temperature, rows=self._spec.beams, seed=(options.seed, n_tried))
        elif (options.beam_size or 1) > 1:
            self._decoder = BeamSearchDecoder(config)
        else:
            self._decoder = GreedyDecoder(config)
        self._is_prompted = False
        return self._decoder

    # --- outputs ----------------------------------------------------------------------------------

    def receive_prefill(self, output: PrefillOutput) -> None:
        """Takes the output of a prefill."""
        if self._needs_language:
            self._set_language(np.exp(output.language_logprobs))
            return
        assert self._decoder is not None
        self._is_prompted = True
        self._detection.no_speech_prob = output.no_speech_prob
        self._decoder.begin(output.top_tokens.tokens[0], output.top_tokens.logprobs[0])
        self._check_finished()

    def _set_language(self, probs: NDArray[np.float32]) -> None:
        codes = self._tokenizer.languages
        self._detection.language_probs = {code: float(p) for code, p in zip(codes, probs, strict=True)}
        allowed = [code for code in codes if code in self._options.languages] or list(codes)
        self._detection.language = max(allowed, key=lambda code: self._detection.language_probs[code])

    def receive_step(self, top_k: TopTokens, row: int) -> None:
        """Takes the output of a StepRequest for top tokens; its rows start at row `row` of the step."""
        assert self._decoder is not None
        rows = slice(row, row + self._decoder.rows)
        self._decoder.receive(top_k.tokens[rows], top_k.logprobs[rows])
        self._check_finished()

    def receive_logits(self, logprobs: NDArray[np.float32], row: int) -> None:
        """Takes the output of a StepRequest for log-probabilities."""
        assert self._decoder is not None
        self._decoder.receive_logits(logprobs[row : row + self._decoder.rows])
        self._check_finished()

    def receive_alignment(self, attention: NDArray[np.float32]) -> None:
        """Takes the output of an AlignRequest."""
        assert self._unaligned_result is not None
        self._align_request = None
        self.result = replace(self._unaligned_result, attention=attention)

    # --- temperature fallback ---------------------------------------------------------------------

    @property
    def _is_last_temperature(self) -> bool:
        return len(self._attempts) == len(self._options.temperatures) - 1

    def _check_finished(self) -> None:
        """Applies the thresholds if decoding at this temperature is done, or bound to be rejected."""
        decoder = self._decoder
        assert decoder is not None
        best = decoder.best or self._find_doomed(decoder)
        if best is not None:
            self._apply_fallback_thresholds(best)

    def _find_doomed(self, decoder: TokenDecoder) -> TokenSequence | None:
        """Finds the best sequence so far if whichever is best in the end will be rejected: decoding on is wasted."""
        if self._is_last_temperature or not decoder.length or decoder.length % DOOM_CHECK_INTERVAL:
            return None
        contenders = decoder.list_contenders()
        return contenders[0] if contenders and all(map(self._will_be_rejected, contenders)) else None

    def _will_be_rejected(self, sequence: TokenSequence) -> bool:
        """Whether the sequence is a loop, or too unlikely to become likely enough."""
        assert self._config is not None
        floor, limit = self._options.logprob_threshold, self._options.compression_ratio_threshold
        avg_logprob = self._config.bound_avg_logprob(sequence)
        if floor is not None and avg_logprob < floor:
            return not self._is_silence(avg_logprob)
        if limit is None or self._is_skipped(sequence.avg_logprob):
            return False
        is_final = sequence.is_ended or self._has_loop(sequence.tokens)
        return is_final and compression_ratio(self._tokenizer.decode(sequence.tokens).strip()) > limit

    def _has_loop(self, tokens: Sequence[int]) -> bool:
        """Whether the text has a long loop at its end, or shortly before it, where a beam tries something else."""
        words = [token for token in tokens if token < self._special.eot]
        ends = range(max(EARLY_STOP_LOOP_TOKENS, len(words) - DOOM_CHECK_INTERVAL), len(words) + 1)
        return any(find_loop_start(words[:end], min_tokens=EARLY_STOP_LOOP_TOKENS) is not None for end in ends)

    def _apply_fallback_thresholds(self, best: TokenSequence) -> None:
        options = self._options
        text = self._tokenizer.decode(best.tokens).strip()
        ratio, avg_logprob = compression_ratio(text), best.avg_logprob
        temperature = options.temperatures[len(self._attempts)]
        limit, floor = options.compression_ratio_threshold, options.logprob_threshold
        rejection_reason = ""
        if limit is not None and ratio > limit:
            rejection_reason = "compression_ratio"
        elif floor is not None and avg_logprob < floor:
            rejection_reason = "avg_logprob"
        if self._is_skipped(avg_logprob):
            rejection_reason = ""  # silence has no likely text at any temperature
        self._attempts.append(
            DecodingAttempt(
                temperature=temperature,
                avg_logprob=avg_logprob,
                compression_ratio=ratio,
                rejection_reason=rejection_reason,
            )
        )
        self._decoder = None
        if not rejection_reason or len(self._attempts) == len(options.temperatures):
            self._finish(best, text, ratio)

    def _is_skipped(self, avg_logprob: float) -> bool:
        """Whether a text of this average log-probability would be accepted as that of silence."""
        floor = self._options.logprob_threshold
        return floor is not None and avg_logprob < floor and self._is_silence(avg_logprob)

    def _is_silence(self, avg_logprob: float) -> bool:
        """Whether the window is skipped: no speech is likely, and the text is not."""
        threshold, floor = self._options.no_speech_threshold, self._options.logprob_threshold
        if threshold is None or self._detection.no_speech_prob <= threshold:
            return False
        return floor is None or avg_logprob <= floor

    def _finish(self, best: TokenSequence, text: str, ratio: float) -> None:
        tokens, is_truncated = best.tokens, False
        limit = self._options.compression_ratio_threshold
        if self._options.repetition_cut and limit is not None and ratio > limit:
            kept = truncate_loop(tokens, self._special.eot)
            is_truncated = len(kept) < len(tokens)
            tokens, text = kept, self._tokenizer.decode(kept).strip()
        avg_logprob = best.avg_logprob
        final = DecodingResult(
            tokens=(*self._prefix_tokens, *tokens),
            text=self._tokenizer.decode([*self._prefix_tokens, *tokens]).strip() if self._prefix_tokens else text,
            avg_logprob=avg_logprob,
            no_speech_prob=self._detection.no_speech_prob,
            compression_ratio=compression_ratio(text) if is_truncated else ratio,
            temperature=self._attempts[-1].temperature,
            language=self._detection.language if self._special.is_multilingual else None,
            language_probs=self._detection.language_probs,
            token_logprobs=(*(0.0 for _ in self._prefix_tokens), *best.logprobs[: len(tokens)]),
            attempts=tuple(self._attempts),
            is_silence=self._is_silence(avg_logprob),
            is_truncated=is_truncated,
            finish_reason="stop" if best.is_ended or is_truncated else "length",
        )
        if self._options.word_timestamps and not final.is_silence:
            final = self._begin_alignment(final)
        if self._align_request is None:
            self.result = final
        self._unaligned_result = final

    def _begin_alignment(self, final: DecodingResult) -> DecodingResult:
        segments, _ = split_at_timestamps(
            final.tokens, self._special.timestamp_begin, seek_frames=0, window_frames=self._frames
        )
        text = [token for segment in segments for token in segment.tokens if token < self._special.eot]
        if not text:
            return final
        aligned = build_alignment_tokens(
            self._tokenizer,
            text,
            language=self._detection.language,
            task=self._options.task,
            max_tokens=self._spec.align_buckets[-1],
        )
        self._align_request = AlignRequest(tokens=aligned.tokens)
        return replace(final, first_aligned_row=aligned.first_row)


def compression_ratio(text: str) -> float:
    """Bytes of the text over bytes of its zlib form: high for repetitive text, 0 for no text."""
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw)) if raw else 0.0
