"""A checkpoint's vocabulary in the order of a program: text, added tokens, control tokens, timestamps.

Ids come from the files that name the tokens, never from the size of the embedding, which trainers extend and pad. A
program has fixed places for text and control tokens, so the rows of the embedding are taken in that order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from neuron_whisper.errors import CheckpointError
from neuron_whisper.text.languages import LANGUAGES
from neuron_whisper.text.special_tokens import SpecialTokens, special_token_names
from neuron_whisper.text.tokenizer_files import (
    AddedToken,
    TokenFiles,
    format_tokenizer_json,
    read_json_table,
    read_token_files,
)

GENERATION_CONFIG_NAME = "generation_config.json"
BLANK = "Ġ"  # a single space, as GPT-2 spells it
OPENAI_LANGUAGES = {(51864, 50256): 99, (51865, 50257): 99, (51866, 50257): 100}  # by number of tokens and end's id
OPENAI_TEXTS = {50256: False, 50257: True}  # end's id behind GPT-2's and the multilingual text: is it multilingual?
LARGE_V3_SIZES = (51866, 128)  # tokens and mel bins of the only family with <|yue|>
EMPTY_TOKEN = 50256  # of OpenAI's multilingual vocabulary; spells nothing, and is left out of some files

_ALIASES = {"<|nospeech|>": "<|nocaptions|>"}  # the name until large-v3
_TIMESTAMP = re.compile(r"<\|\d+\.\d\d\|>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """`rows[token]` is the checkpoint's embedding row of a program's token: a range where the order is the same.

    `added` are the tokens between OpenAI's text and `special.eot`, with a program's ids. `files` is None where the
    checkpoint has none: the vocabulary is OpenAI's then.
    """

    special: SpecialTokens
    rows: Sequence[int]
    added: tuple[AddedToken, ...] = ()
    files: TokenFiles | None = None

    @property
    def is_openai_order(self) -> bool:
        """Whether ids are the checkpoint's own; padding behind the last timestamp may be cut off."""
        return isinstance(self.rows, range)

    def to_program_ids(self, tokens: Sequence[int]) -> tuple[int, ...]:
        """The program's ids of tokens of the checkpoint, in order; those that a program does not have are left out."""
        if self.is_openai_order:
            return tuple(sorted({token for token in tokens if token < len(self.rows)}))
        places = {row: token for token, row in enumerate(self.rows)}
        return tuple(sorted({places[token] for token in tokens if token in places}))

    def to_tokenizer_json(self) -> str | None:
        """The text of a tokenizer.json with the program's ids; None for OpenAI's vocabulary without merges."""
        if self.files is None or not self.files.merges:
            return None
        first = self.special.eot - len(self.added)
        text = {spelling: token for spelling, token in self.files.vocabulary.items() if token < first}
        if len(text) < first:
            text[""] = EMPTY_TOKEN
        control = [
            AddedToken(id=token, content=name, is_special=token < self.special.timestamp_begin)
            for token, name in enumerate(special_token_names(self.special), start=self.special.eot)
        ]
        return format_tokenizer_json(text, self.files.merges, [*self.added, *control])


def read_vocabulary(directory: Path, *, n_rows: int, n_mels: int) -> Vocabulary:
    """The vocabulary of the checkpoint in a directory, whose embedding has `n_rows`.

    Raises CheckpointError, naming file and token, where names, generation settings and size contradict each other, a
    control token or timestamp has no row, or no file says where the control tokens are.
    """
    files = read_token_files(directory)
    settings = _GenerationIds.read(directory)
    file = directory if files is None else files.file
    ids = {} if files is None else files.ids
    eot = _find_eot(file, files, ids, settings, n_rows)
    if files is not None and files.vocabulary:
        _check_text(files, eot)
    n_languages = _count_languages(file, ids, settings, n_rows, eot)
    if (n_rows, n_mels) == LARGE_V3_SIZES and n_languages != 100:
        found = f"{n_languages} languages"
        raise CheckpointError(file, "", expected="the 100 languages of large-v3's vocabulary", found=found)
    layout = SpecialTokens.from_layout(
        eot=eot,
        n_languages=n_languages,
        blank=ids.get(BLANK, 220),
        is_multilingual=OPENAI_TEXTS.get(eot, settings.is_multilingual is not False),
    )
    control = _locate_control_tokens(file, ids, layout, n_rows)
    settings.check(control)
    added = _list_added_tokens(files, control, eot, n_rows)
    first = eot + len(added)
    rows: Sequence[int] = [*range(eot), *(token.id for token in added), *control.values()]
    if list(rows) == list(range(len(rows))):
        rows = range(len(rows))
    return Vocabulary(
        special=SpecialTokens.from_layout(
            eot=first, n_languages=n_languages, blank=layout.blank, is_multilingual=layout.is_multilingual
        ),
        rows=rows,
        added=tuple(replace(token, id=eot + place) for place, token in enumerate(added)),
        files=files,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _GenerationIds:
    """Token ids in generation_config.json, or in config.json of before there was one; None where it has none."""

    file: Path
    ids: Mapping[str, int]  # by name of the control token
    is_multilingual: bool | None

    @classmethod
    def read(cls, directory: Path) -> _GenerationIds:
        file = directory / GENERATION_CONFIG_NAME
        settings = read_json_table(file)
        if not settings:
            file = directory / "config.json"
            settings = read_json_table(file)
        found = {
            "<|endoftext|>": settings.get("eos_token_id"),
            "<|startoftranscript|>": settings.get("decoder_start_token_id"),
            "<|notimestamps|>": settings.get("no_timestamps_token_id"),
        }
        for table in ("lang_to_id", "task_to_id"):
            entries = settings.get(table)
            for name, token in entries.items() if isinstance(entries, dict) else ():
                found[name if name.startswith("<|") else f"<|{name}|>"] = token
        flag = settings.get("is_multilingual")
        return cls(
            file=file,
            ids={name: token for name, token in found.items() if type(token) is int},
            is_multilingual=flag if isinstance(flag, bool) else None,
        )

    def check(self, control: Mapping[str, int]) -> None:
        """Raises CheckpointError for a control token that is elsewhere in the vocabulary.

        The end is not compared: trainers set eos_token_id to what they pad with.
        """
        for name, token in self.ids.items():
            if name != "<|endoftext|>" and control.get(name, token) != token:
                raise CheckpointError(
                    self.file, "", expected=f"{name} to be {control[name]}, as in the vocabulary", found=token
                )


def _find_eot(
    file: Path, files: TokenFiles | None, ids: Mapping[str, int], settings: _GenerationIds, n_rows: int
) -> int:
    """The end's id: by name, behind the text vocabulary, in the generation settings, or OpenAI's of this size."""
    if "<|endoftext|>" in ids:
        return ids["<|endoftext|>"]
    by_size = next((eot for size, eot in OPENAI_LANGUAGES if size == n_rows), None)
    by_start = settings.ids.get("<|startoftranscript|>", 0) - 1
    if files is not None and files.vocabulary:
        last = max(files.vocabulary.values()) + 1
        # one more where the file lacks the empty token, which is the last of the multilingual text
        return next((eot for eot in (by_start, by_size) if eot is not None and 0 <= eot - last <= 1), last)
    found = settings.ids.get("<|endoftext|>", by_size)
    if found is None:
        raise _make_unknown_layout(file, n_rows)
    return found


def _make_unknown_layout(file: Path, n_rows: int) -> CheckpointError:
    sizes = ", ".join(str(size) for size, _ in OPENAI_LANGUAGES)
    return CheckpointError(
        file,
        "",
        expected=f"a tokenizer.json that names the control tokens, or a vocabulary of {sizes} tokens",
        found=f"{n_rows} tokens",
    )


def _check_text(files: TokenFiles, eot: int) -> None:
    """Raises CheckpointError when the text vocabulary is not one token for each id before the end."""
    text = {token for token in files.vocabulary.values() if token < eot}
    missing = set(range(eot)) - text - {EMPTY_TOKEN}
    if missing or (EMPTY_TOKEN not in text and eot > EMPTY_TOKEN + 1):
        raise CheckpointError(files.file, "", expected=f"text tokens 0 to {eot - 1}", found=f"{len(text)} tokens")
    if files.vocabulary.get(BLANK, eot) >= eot:
        raise CheckpointError(files.file, "", expected="a token of a single space", found="none")


def _count_languages(file: Path, ids: Mapping[str, int], settings: _GenerationIds, n_rows: int, eot: int) -> int:
    listed = _count_first_languages(ids)
    if listed:
        return listed
    for known in (ids, settings.ids):
        if "<|notimestamps|>" in known:
            n_languages = known["<|notimestamps|>"] - eot - 7
            if 1 <= n_languages <= len(LANGUAGES):
                return n_languages
    if listed := _count_first_languages(settings.ids):
        return listed
    if (n_rows, eot) in OPENAI_LANGUAGES:
        return OPENAI_LANGUAGES[n_rows, eot]
    raise _make_unknown_layout(file, n_rows)


def _count_first_languages(ids: Mapping[str, int]) -> int:
    """How many languages are listed, from the first of `LANGUAGES` to the first that is not."""
    missing = (place for place, code in enumerate(LANGUAGES) if f"<|{code}|>" not in ids)
    return next(missing, len(LANGUAGES))


def _locate_control_tokens(file: Path, ids: Mapping[str, int], layout: SpecialTokens, n_rows: int) -> dict[str, int]:
    """Name -> row of every control token and timestamp, in the program's order: where it is listed, else OpenAI's."""
    names = special_token_names(layout)
    control: dict[str, int] = {}
    for token, name in enumerate(names, start=layout.eot):
        usual = token
        if token >= layout.timestamp_begin:
            usual = control["<|notimestamps|>"] + 1 + token - layout.timestamp_begin
        alias = _ALIASES.get(name, name)
        control[name] = ids.get(name, ids.get(alias, usual))
    owners = {token: name for name, token in ids.items() if not _TIMESTAMP.fullmatch(name)}
    taken: dict[int, str] = {}
    for name, row in control.items():
        if row >= n_rows:
            raise CheckpointError(file, "", expected=f"{name} among the {n_rows} tokens of the model", found=row)
        other = taken.get(row) or (owners.get(row) if name not in ids else None)
        if other not in (None, name, _ALIASES.get(name)):
            raise CheckpointError(file, "", expected=f"{name} to be token {row}", found=repr(other))
        taken[row] = name
    return control


def _list_added_tokens(files: TokenFiles | None, control: Mapping[str, int], eot: int, n_rows: int) -> list[AddedToken]:
    """Tokens that are neither text nor control tokens and have a row: those of the text first, then special ones."""
    if files is None:
        return []
    taken = set(control.values())
    found = {
        token.id: token
        for token in files.added
        if eot < token.id < n_rows and token.id not in taken and not _TIMESTAMP.fullmatch(token.content)
    }
    return sorted(found.values(), key=lambda token: (token.is_special, token.id))
