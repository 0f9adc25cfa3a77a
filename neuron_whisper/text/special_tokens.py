"""Ids of Whisper's special tokens in a vocabulary."""

from __future__ import annotations

from dataclasses import dataclass

from neuron_whisper.text.languages import LANGUAGES

TASKS = ("transcribe", "translate")
TIMESTAMP_STEP_S = 0.02  # one timestamp token; two encoder frames of 10 ms
N_TIMESTAMPS = 1501  # <|0.00|> ... <|30.00|>


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecialTokens:
    """Token ids. The order is openai/whisper tokenizer.py's: end, start, languages, tasks, ..., timestamps.

    `blank` is the token of a single space. An English-only model has the language and task ids but never gets them.
    """

    eot: int
    sot: int
    first_language: int
    n_languages: int
    translate: int
    transcribe: int
    sot_lm: int
    sot_prev: int
    no_speech: int
    no_timestamps: int
    timestamp_begin: int
    blank: int
    is_multilingual: bool

    @property
    def n_vocab(self) -> int:
        """How many tokens there are, the last timestamp counted."""
        return self.timestamp_end + 1

    @property
    def timestamp_end(self) -> int:
        """The last timestamp token, <|30.00|>."""
        return self.timestamp_begin + N_TIMESTAMPS - 1

    @classmethod
    def from_vocab_size(cls, n_vocab: int) -> SpecialTokens:
        """The layout of OpenAI's vocabularies: 51,864 (English), 51,865, 51,866 (large-v3 family)."""
        is_multilingual = n_vocab >= 51865
        n_languages = n_vocab - 51765 - int(is_multilingual)
        return cls.from_layout(
            eot=50257 if is_multilingual else 50256,
            n_languages=n_languages,
            blank=220,
            is_multilingual=is_multilingual,
        )

    @classmethod
    def from_layout(cls, *, eot: int, n_languages: int, blank: int, is_multilingual: bool) -> SpecialTokens:
        """The same order after any text vocabulary of `eot` tokens (small ones serve tests)."""
        after = eot + 2 + n_languages
        return cls(
            eot=eot,
            sot=eot + 1,
            first_language=eot + 2,
            n_languages=n_languages,
            translate=after,
            transcribe=after + 1,
            sot_lm=after + 2,
            sot_prev=after + 3,
            no_speech=after + 4,
            no_timestamps=after + 5,
            timestamp_begin=after + 6,
            blank=blank,
            is_multilingual=is_multilingual,
        )


def special_token_names(special: SpecialTokens) -> list[str]:
    """Names of the tokens from `special.eot` to the last timestamp: "<|endoftext|>" ... "<|30.00|>"."""
    return [
        "<|endoftext|>",
        "<|startoftranscript|>",
        *(f"<|{code}|>" for code in tuple(LANGUAGES)[: special.n_languages]),
        "<|translate|>",
        "<|transcribe|>",
        "<|startoflm|>",
        "<|startofprev|>",
        "<|nospeech|>",
        "<|notimestamps|>",
        *(f"<|{n * TIMESTAMP_STEP_S:.2f}|>" for n in range(N_TIMESTAMPS)),
    ]
