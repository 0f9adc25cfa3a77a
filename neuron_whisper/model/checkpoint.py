"""A checkpoint of any format, under openai/whisper's names."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from neuron_whisper.errors import CheckpointError
from neuron_whisper.model.ctranslate2 import read_ctranslate2
from neuron_whisper.model.digests import hash_file
from neuron_whisper.model.dims import WhisperDims
from neuron_whisper.model.huggingface import (
    ADAPTER_CONFIG,
    SLOW_TOKENIZER_FILES,
    WEIGHT_FILES,
    describe_adapter,
    find_weight_index,
    read_huggingface,
)
from neuron_whisper.model.openai_pt import read_openai
from neuron_whisper.model.parameters import (
    ENCODER_POSITIONS,
    OUTPUT_PROJECTION,
    TOKEN_EMBEDDING,
    expected_shapes,
    sinusoids,
)
from neuron_whisper.model.stored_tensors import CheckpointContents, RowSelection, StoredTensor

__all__ = ["Checkpoint", "detect_format", "expected_shapes", "open_checkpoint"]

READERS = {"huggingface": read_huggingface, "ctranslate2": read_ctranslate2, "openai": read_openai}
CONFIG_FILES = ("tokenizer.json", "config.json", "generation_config.json")
MAX_SUPPRESS_TOKENS = 10_000  # far above any published list; a damaged config must not be stored in artifacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Weights on disk, checked by name, shape and size; a tensor's values are read when it is requested.

    `alignment_heads` are (layer, head) pairs, None when the checkpoint names none for this decoder.
    `files` are the weight files; `tokenizer_file` is the tokenizer.json in their directory. `suppress_tokens` is the
    model's own list from its generation settings, None when it has none.
    """

    path: Path
    format: str  # huggingface, ctranslate2 or openai
    dims: WhisperDims
    alignment_heads: tuple[tuple[int, int], ...] | None
    files: tuple[Path, ...]
    tokenizer_file: Path | None
    suppress_tokens: tuple[int, ...] | None = None
    tensors: Mapping[str, StoredTensor | RowSelection] = field(repr=False)

    @property
    def directory(self) -> Path:
        """The directory of the weights, in which configs and tokenizer are."""
        return self.files[0].parent

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Every parameter, in the order of `expected_shapes`; OUTPUT_PROJECTION last, where the model has its own."""
        names = tuple(expected_shapes(self.dims))
        return (*names, OUTPUT_PROJECTION) if self.has_own_projection else names

    @property
    def has_own_projection(self) -> bool:
        """Whether the output projection is another matrix than the token embedding."""
        return OUTPUT_PROJECTION in self.tensors

    @property
    def dtype(self) -> str:
        """How the matrices are stored: float32, float16, bfloat16, int8 or int16."""
        return self.tensors[TOKEN_EMBEDDING].dtype

    def tensor(self, name: str) -> NDArray[Any]:
        """The parameter, float16 or float32, read-only.

        A view of the file where it can be; bfloat16, int8 and int16 are made float32, one tensor at a time.
        Raises KeyError for a name that is not in `parameter_names`.
        """
        if name == ENCODER_POSITIONS and name not in self.tensors:
            return sinusoids(self.dims.n_audio_ctx, self.dims.n_audio_state)
        return self.tensors[name].read()

    def first_rows(self, name: str, count: int) -> NDArray[Any]:
        """As `tensor`, the first `count` rows of a parameter that is stored; the others are not read."""
        stored = self.tensors[name]
        assert isinstance(stored, StoredTensor), "rows of the vocabulary have an order of their own"
        return stored.take_rows(count).read()

    def select_tokens(self, rows: Sequence[int]) -> Checkpoint:
        """The same model with these rows of the token embedding, in this order, as its vocabulary."""
        if rows == range(self.dims.n_vocab):
            return self
        matrices = {name: self.tensors[name] for name in (TOKEN_EMBEDDING, OUTPUT_PROJECTION) if name in self.tensors}
        selected = {
            name: RowSelection(tensor, rows) for name, tensor in matrices.items() if isinstance(tensor, StoredTensor)
        }
        assert len(selected) == len(matrices), "the rows of a checkpoint are selected once"
        return replace(self, dims=replace(self.dims, n_vocab=len(rows)), tensors={**self.tensors, **selected})

    def compute_digests(self, cache_dir: Path | None = None) -> dict[str, str]:
        """File name -> sha256, of the weight files and of the configs and tokenizer in their directory.

        With `cache_dir`, files that did not change are not read again.
        """
        names = CONFIG_FILES if self.tokenizer_file else (*CONFIG_FILES, *SLOW_TOKENIZER_FILES)
        configs = [self.directory / name for name in names if (self.directory / name).is_file()]
        return {path.name: hash_file(path, cache_dir=cache_dir) for path in (*self.files, *configs)}


def detect_format(path: Path) -> str | None:
    """huggingface, ctranslate2 or openai by the files that are there; None for anything else."""
    if path.is_file():
        return "openai" if path.suffix == ".pt" else None
    index = find_weight_index(path)
    if index is not None and index.name.startswith("model.safetensors"):
        return "huggingface"
    if (path / "model.bin").exists() or any(path.glob("model.bin.part*")):
        return "ctranslate2"
    return "huggingface" if index is not None else None


def open_checkpoint(path: Path) -> Checkpoint:
    """Opens a Hugging Face or CTranslate2 directory or an OpenAI .pt file, and checks every tensor's shape.

    Raises CheckpointError, naming file, tensor, expected and found, when it is not a whole Whisper model.
    """
    if (path / ADAPTER_CONFIG).is_file():
        raise describe_adapter(path)
    kind = detect_format(path)
    if kind is None:
        known = ", ".join((*WEIGHT_FILES, "model.bin"))
        found = "a file of another kind" if path.is_file() else "none" if path.is_dir() else "no such path"
        raise CheckpointError(path, "", expected=f"a .pt file, or a directory with {known}", found=found)
    contents: CheckpointContents = READERS[kind](path)
    tokenizer = contents.files[0].parent / "tokenizer.json"
    return Checkpoint(
        path=path,
        format=kind,
        dims=contents.dims,
        tensors=contents.tensors,
        files=contents.files,
        alignment_heads=_validate_alignment_heads(contents.alignment_heads, contents.dims),
        tokenizer_file=tokenizer if tokenizer.is_file() else None,
        suppress_tokens=_validate_suppress_tokens(path, contents.suppress_tokens),
    )


def _validate_suppress_tokens(path: Path, value: object) -> tuple[int, ...] | None:
    """[1, 2] -> (1, 2); None for null. Raises CheckpointError for anything else."""
    if value is None:
        return None
    is_short = isinstance(value, list) and len(value) <= MAX_SUPPRESS_TOKENS
    if not isinstance(value, list) or not is_short or not all(type(it) is int and it >= 0 for it in value):
        raise CheckpointError(path, "", expected="suppress_tokens to be a list of token ids", found=reprlib.repr(value))
    return tuple(value)


def _validate_alignment_heads(found: object, dims: WhisperDims) -> tuple[tuple[int, int], ...] | None:
    """[[3, 1], [4, 2]] -> ((3, 1), (4, 2))

    None when a pair is outside the decoder: distilled models carry the heads of their teacher, which has
    more layers, and those that happen to be inside mean nothing in the student.
    """
    pairs = []
    for pair in found if isinstance(found, list) else []:
        match pair:
            case [int(layer), int(head)] if 0 <= layer < dims.n_text_layer and 0 <= head < dims.n_text_head:
                pairs.append((layer, head))
            case _:
                return None
    return tuple(pairs) or None
