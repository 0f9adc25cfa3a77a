"""Text to Whisper's tokens and back, with the control tokens kept apart from what users write."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType

import tokenizers

from neuron_whisper.errors import CheckpointError, InvalidOption
from neuron_whisper.text.languages import LANGUAGES, NO_SPACE_LANGUAGES
from neuron_whisper.text.special_tokens import TASKS, SpecialTokens, special_token_names
from neuron_whisper.text.tokenizer_files import FILE_ERRORS, AddedToken, read_json_table, read_tokenizer_json
from neuron_whisper.text.vocabulary import GENERATION_CONFIG_NAME

MAX_ENCODED_TEXTS = 16  # whose tokens are kept: a prompt is encoded once, not for every window
REPLACEMENT_CHARACTER = "\ufffd"  # stands for bytes that are not UTF-8

# Symbols that are written but not spoken (openai/whisper tokenizer.py non_speech_tokens): speaker tags, stage
# directions, music. Suppressed where it is a token of its own, so that commas and full stops stay.
_NON_SPEECH_SYMBOLS = (
    *'"#()*+/:;<=>@[\\]^_`{|}~「」『』',
    "<<",
    ">>",
    "<<<",
    ">>>",
    "--",
    "---",
    "-(",
    "-[",
    "('",
    '("',
    "((",
    "))",
    "(((",
    ")))",
    "[[",
    "]]",
    "{{",
    "}}",
    "♪♪",
    "♪♪♪",
)
# Two or three tokens each, and the first one begins nothing but the signs U+2640 ... U+267F.
_MUSIC_SYMBOLS = "♩♪♫♬♭♮♯"
# Right inside a word (well-known, don't), wrong before one.
_WORD_INNER_MARKS = ("-", "'")


def _bytes_to_unicode() -> Mapping[int, str]:
    """GPT-2's one visible character for each byte: itself where it prints, else the next from U+0100 on."""
    printing = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = (byte for byte in range(256) if byte not in printing)
    return MappingProxyType(
        {byte: chr(byte) for byte in printing} | {byte: chr(0x100 + n) for n, byte in enumerate(others)}
    )


BYTE_TO_UNICODE = _bytes_to_unicode()
_UNICODE_TO_BYTE = MappingProxyType({ord(character): byte for byte, character in BYTE_TO_UNICODE.items()})


def _to_bytes(spellings: Sequence[str]) -> Iterator[bytes]:
    """What GPT-2's spellings spell. Raises KeyError for a character that spells no byte."""
    for character in set().union(*spellings):
        _UNICODE_TO_BYTE[ord(character)]
    return (spelling.translate(_UNICODE_TO_BYTE).encode("latin-1") for spelling in spellings)


def _to_library_token(token: AddedToken) -> tokenizers.AddedToken:
    return tokenizers.AddedToken(
        token.content,
        lstrip=token.strips_left,
        rstrip=token.strips_right,
        single_word=token.is_single_word,
        normalized=False,
    )


def make_special_tokens(file: Path | str, n_vocab: int) -> SpecialTokens:
    """The special tokens of a vocabulary of OpenAI's; CheckpointError about `file` at any other size."""
    if n_vocab not in (51864, 51865, 51866):
        raise CheckpointError(
            file, "", expected="a vocabulary of 51864, 51865 or 51866 tokens", found=f"{n_vocab} tokens"
        )
    return SpecialTokens.from_vocab_size(n_vocab)


def _read_suppress_tokens(file: Path) -> list[int] | None:
    """`suppress_tokens` of a generation_config.json; None without the file or the list."""
    tokens = read_json_table(file).get("suppress_tokens")
    try:
        return None if tokens is None else [int(token) for token in tokens]
    except FILE_ERRORS as error:
        raise CheckpointError(file, "", expected="a list suppress_tokens of token ids", found=f"{error!r}") from error


def _cache_encoder(library: tokenizers.Tokenizer) -> Callable[[str], tuple[int, ...]]:
    """`library.encode` that keeps the tokens of the latest texts, without a reference to the Tokenizer."""

    @lru_cache(MAX_ENCODED_TEXTS)
    def encode(text: str) -> tuple[int, ...]:
        return tuple(library.encode(text, add_special_tokens=False).ids)

    return encode


class Tokenizer:
    """Byte-level BPE over the text vocabulary; ids from `special.eot` on are handled here, not by the library.

    The library is given the text vocabulary and nothing else. So text which spells a control token is text,
    and checkpoints that list the timestamps among their added tokens and those that do not are the same.
    Immutable, and safe to share between threads.
    """

    def __init__(
        self,
        vocabulary: Mapping[str, int],
        merges: Sequence[tuple[str, str]],
        special: SpecialTokens,
        suppress_tokens: Sequence[int] | None = None,
        added: Sequence[AddedToken] = (),
    ) -> None:
        """`vocabulary`: ids from 0 on by GPT-2 spelling, each id once; `merges`: pairs, first wins.

        `suppress_tokens`: the model's own default list, None for openai/whisper's. `added`: tokens from the
        vocabulary's end to eot - 1, special ones last: these are chosen, but spell nothing and are never encoded.
        """
        self.special = special
        self.languages = tuple(LANGUAGES)[: special.n_languages]
        texts = {token: spelling for spelling, token in vocabulary.items()}
        text_end = special.eot - len(added)
        self._hidden_begin = special.eot - sum(token.is_special for token in added)
        self._bytes = (
            *_to_bytes([texts[token] for token in range(text_end)]),
            *(b"" if token.is_special else token.content.encode() for token in added),
            *(name.encode() for name in special_token_names(special)),
        )
        self._suppress_tokens = suppress_tokens
        self._library = tokenizers.Tokenizer(tokenizers.models.BPE(dict(vocabulary), list(merges)))
        self._library.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        self._library.add_tokens([_to_library_token(token) for token in added if not token.is_special])
        for token in added:
            if not token.is_special and self._library.token_to_id(token.content) != token.id:
                raise ValueError(f"the added token {token.content!r} is a token already")
        self._encode = _cache_encoder(self._library)

    @classmethod
    def from_file(cls, path: Path, n_vocab: int) -> Tokenizer:
        """Reads a tokenizer.json of one of OpenAI's vocabularies, as `from_layout` does. Raises CheckpointError."""
        return cls.from_layout(path, make_special_tokens(path, n_vocab))

    @classmethod
    def from_layout(cls, path: Path, special: SpecialTokens) -> Tokenizer:
        """Reads a tokenizer.json of this layout, and a generation_config.json in its directory.

        Raises CheckpointError when the file is not byte-level BPE or is for another vocabulary.
        """
        files = read_tokenizer_json(path)
        # Some files repeat <|endoftext|> in the text vocabulary.
        vocabulary = {spelling: token for spelling, token in files.vocabulary.items() if token < special.eot}
        ids = {token.content: token.id for token in files.added}
        added = [token for token in files.added if len(vocabulary) <= token.id < special.eot]
        if [*sorted(vocabulary.values()), *(token.id for token in added)] != list(range(special.eot)):
            raise CheckpointError(
                path, "", expected=f"text tokens 0 to {special.eot - 1}", found=f"{len(vocabulary)} tokens"
            )
        names = dict(zip(special_token_names(special), range(special.eot, special.n_vocab), strict=True))
        for name in names.keys() & ids.keys():
            if ids[name] != names[name]:
                expected = f"{name} to be {names[name]} in a vocabulary of {special.n_vocab}"
                raise CheckpointError(path, "", expected=expected, found=ids[name])
        suppress_tokens = _read_suppress_tokens(path.with_name(GENERATION_CONFIG_NAME))
        try:
            return cls(vocabulary, files.merges, special, suppress_tokens, added)
        except Exception as error:  # the library raises a bare Exception for a merge of unknown tokens
            raise CheckpointError(path, "", expected="GPT-2's byte-level BPE", found=f"{error!r}"[:200]) from error

    @property
    def n_vocab(self) -> int:
        """How many tokens there are, control tokens and timestamps included."""
        return len(self._bytes)

    # --- text -------------------------------------------------------------------------------------

    def encode(self, text: str) -> list[int]:
        """Text tokens only: "<|endoftext|>" is spelled out, lone surrogates become U+FFFD."""
        try:
            text.encode()
        except UnicodeEncodeError:
            # as tiktoken does: pairs of surrogates are one character, single ones are nothing
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return list(self._encode(text))

    def decode(self, tokens: Iterable[int]) -> str:
        """Text of the text tokens; control tokens and timestamps are left out. Broken UTF-8 is U+FFFD."""
        eot = self.special.eot
        return self._join_tokens(token for token in tokens if token < eot)

    def decode_single_token_bytes(self, token: int) -> bytes:
        """What one token spells, which may be a part of a character."""
        return self._bytes[token]

    def decode_with_timestamps(self, tokens: Iterable[int]) -> str:
        """Text with control tokens and timestamps spelled out: " and so<|1.08|>"."""
        return self._join_tokens(tokens)

    def _is_hidden(self, token: int) -> bool:
        """Whether the token is part of the text vocabulary, and an added special one that spells nothing."""
        return self._hidden_begin <= token < self.special.eot

    def _join_tokens(self, tokens: Iterable[int]) -> str:
        return b"".join([self._bytes[token] for token in tokens]).decode("utf-8", "replace")

    @cached_property
    def blank_tokens(self) -> tuple[int, ...]:
        """Tokens of a single space, which with the end may not begin a text."""
        return tuple(self.encode(" "))

    # --- control ----------------------------------------------------------------------------------

    def to_language_token(self, code: str) -> int:
        """Token of a language code; InvalidOption when this model has none for it."""
        if code not in self.languages:
            raise InvalidOption("language", code, f"this model knows {', '.join(self.languages)}")
        return self.special.first_language + self.languages.index(code)

    def to_language_code(self, token: int) -> str:
        """Code of a language token; InvalidOption when the token is not one."""
        first = self.special.first_language
        if not first <= token < first + self.special.n_languages:
            last = first + self.special.n_languages - 1
            raise InvalidOption("token", token, f"language tokens are {first} to {last}")
        return self.languages[token - first]

    def sot_sequence(self, language: str | None, task: str, timestamps: bool) -> tuple[int, ...]:
        """The first tokens of a window after the prompt: start, language, task, (no timestamps).

        An English-only model has neither language nor task token, and a translation into English is a transcript
        for it. Raises InvalidOption for an unknown task, a language that this model does not know, and where a
        multilingual model is given none: the language has to be given or detected first.
        """
        special = self.special
        if task not in TASKS:
            raise InvalidOption("task", task, f"it is {' or '.join(TASKS)}")
        ends = () if timestamps else (special.no_timestamps,)
        if not special.is_multilingual:
            if language not in (None, "en"):
                raise InvalidOption("language", language, "this model is English-only")
            return (special.sot, *ends)
        if language is None:
            raise InvalidOption("language", language, "give one or detect it; this model is multilingual")
        task_token = special.transcribe if task == "transcribe" else special.translate
        return (special.sot, self.to_language_token(language), task_token, *ends)

    # --- suppression ------------------------------------------------------------------------------

    @cached_property
    def non_speech_tokens(self) -> tuple[int, ...]:
        """Tokens of symbols that are not spoken, in order: brackets, quotes of stage directions, music signs."""
        found = {self.encode(f" {mark}")[0] for mark in _WORD_INNER_MARKS}
        for symbol in _NON_SPEECH_SYMBOLS:
            for tokens in (self.encode(symbol), self.encode(f" {symbol}")):
                if len(tokens) == 1:
                    found.add(tokens[0])
        for sign in _MUSIC_SYMBOLS:
            found |= {self.encode(sign)[0], self.encode(f" {sign}")[0]}
        return tuple(sorted(found))

    @property
    def default_suppress_tokens(self) -> tuple[int, ...]:
        """The text tokens that the model's generation settings suppress, or without any the non_speech_tokens."""
        if self._suppress_tokens is None:
            return self.non_speech_tokens
        return tuple(sorted({token for token in self._suppress_tokens if token < self.special.eot}))

    def get_suppress_tokens(self, suppress: str | Sequence[int] | None = "-1") -> tuple[int, ...]:
        """Tokens that are never chosen, in order: the given ones (-1: default_suppress_tokens) and control tokens.

        `suppress` is a list or its comma-separated spelling, as openai/whisper decoding.py takes it. The end,
        the languages, <|notimestamps|> and the timestamps are left to the timestamp rules. Raises InvalidOption
        for a number that is neither -1 nor a token.
        """
        tokens = set(self._parse_suppress_tokens(suppress))
        if -1 in tokens:
            tokens = (tokens - {-1}).union(self.default_suppress_tokens)
        s = self.special
        return tuple(sorted(tokens | {s.transcribe, s.translate, s.sot, s.sot_prev, s.sot_lm, s.no_speech}))

    def _parse_suppress_tokens(self, suppress: str | Sequence[int] | None) -> list[int]:
        if not suppress:
            return []
        allowed = f"it lists tokens from 0 to {self.n_vocab - 1}, or -1 for signs that are not spoken"
        parts: Sequence[str | int] = suppress.split(",") if isinstance(suppress, str) else suppress
        try:
            tokens = [int(part) for part in parts]
        except ValueError as error:
            raise InvalidOption("suppress_tokens", suppress, allowed) from error
        if not all(-1 <= token < self.n_vocab for token in tokens):
            raise InvalidOption("suppress_tokens", suppress, allowed)
        return tokens

    # --- words ------------------------------------------------------------------------------------

    def split_to_word_tokens(self, tokens: Sequence[int], language: str | None) -> tuple[list[str], list[list[int]]]:
        """Words and the tokens of each; joined again they are `tokens`. A control token is its own word.

        At spaces and punctuation, or, in languages written without spaces, wherever a character ends.
        encode(" Hello, world") -> [" Hello", ",", " world"]. Follows openai/whisper tokenizer.py, and keeps
        the tokens of a broken last character, where that loses them or raises IndexError.
        """
        characters = self._split_at_characters(tokens)
        if language not in NO_SPACE_LANGUAGES:
            characters = self._join_inside_words(characters)
        return [word for word, _ in characters], [group for _, group in characters]

    def _split_at_characters(self, tokens: Sequence[int]) -> list[tuple[str, list[int]]]:
        whole = self.decode_with_timestamps(tokens)
        pieces: list[tuple[str, list[int]]] = []
        group: list[int] = []
        done = 0  # characters of `whole` in pieces
        for token in tokens:
            group.append(token)
            piece = self.decode_with_timestamps(group)
            if self._is_hidden(token):
                continue
            broken = piece.find(REPLACEMENT_CHARACTER)
            # a replacement that the whole text has, too, does not go away when more tokens come
            if broken < 0 or whole[done + broken : done + broken + 1] == REPLACEMENT_CHARACTER:
                pieces.append((piece, group))
                done += len(piece)
                group = []
        if group:
            pieces.append((self.decode_with_timestamps(group), group))
        return pieces

    def _join_inside_words(self, pieces: list[tuple[str, list[int]]]) -> list[tuple[str, list[int]]]:
        words: list[tuple[str, list[int]]] = []
        for piece, group in pieces:
            is_control = group[0] >= self.special.eot
            is_punctuation = piece.strip() in string.punctuation
            if is_control or piece.startswith(" ") or is_punctuation or not words:
                words.append((piece, group))
            else:
                word, before = words[-1]
                words[-1] = (word + piece, before + group)
        return words
