"""A tokenizer.json for Hugging Face checkpoints that have none, made by transformers from the older files.

Trainers save a slow tokenizer as vocab.json, merges.txt and added tokens in several places; transformers knows each
of its own layouts.
"""

from __future__ import annotations

from pathlib import Path

from neuron_whisper.errors import CheckpointError

# All of them decide the result; the first two have to be there.
SLOW_TOKENIZER_FILES = (
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
)


def has_slow_tokenizer(directory: Path) -> bool:
    return all((directory / name).is_file() for name in SLOW_TOKENIZER_FILES[:2])


def tokenizer_json_from_transformers(directory: Path) -> str:
    """The text of a tokenizer.json for the tokenizers library: the tokenizer that transformers loads from a directory.

    Raises CheckpointError when the files are not a Whisper tokenizer's, or transformers is not installed.
    """
    try:
        from transformers import WhisperTokenizerFast  # type: ignore[attr-defined]  # an alias in version 5
    except ImportError as error:
        raise CheckpointError(
            directory,
            "",
            expected='a tokenizer.json, or transformers (pip install "neuron-whisper[compile]") to make it',
            found=f"{' and '.join(SLOW_TOKENIZER_FILES[:2])}; {error}",
        ) from None
    try:
        tokenizer = WhisperTokenizerFast.from_pretrained(str(directory), local_files_only=True)
        text: str = tokenizer.backend_tokenizer.to_str()
    except Exception as error:  # damaged files make transformers raise anything
        raise CheckpointError(
            directory, "", expected="the files of a Whisper tokenizer", found=f"{type(error).__name__}: {error}"
        ) from error
    return text
