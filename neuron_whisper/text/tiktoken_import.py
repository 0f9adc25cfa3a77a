"""A tokenizer.json for OpenAI's .pt checkpoints, out of the rank files that openai-whisper brings."""

from __future__ import annotations

import base64
import importlib.util
import itertools
from collections.abc import Mapping
from pathlib import Path

from neuron_whisper.errors import CheckpointError
from neuron_whisper.text.special_tokens import special_token_names
from neuron_whisper.text.tokenizer import BYTE_TO_UNICODE, make_special_tokens
from neuron_whisper.text.tokenizer_files import AddedToken, format_tokenizer_json


def find_packaged_ranks(multilingual: bool) -> Path:
    """The rank file in an installed openai-whisper, which is not imported: that would bring torch.

    Raises CheckpointError when there is none.
    """
    name = "multilingual.tiktoken" if multilingual else "gpt2.tiktoken"
    spec = importlib.util.find_spec("whisper")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        # other packages are called whisper, too
        file = Path(location) / "assets" / name
        if file.is_file():
            return file
    raise CheckpointError(
        name,
        "",
        expected="a tokenizer.json by the model, or openai-whisper's vocabulary (pip install --no-deps openai-whisper)",
        found="openai-whisper is not installed",
    )


def tokenizer_json_from_tiktoken(ranks_file: Path, n_vocab: int) -> str:
    """The text of a tokenizer.json for the tokenizers library: the same ids for the same text.

    `ranks_file` has a line "<base64 of the bytes> <id>" per text token. The result is the same at every run.
    Raises CheckpointError when the file is not that, or does not belong to a vocabulary of `n_vocab`.
    """
    special = make_special_tokens(ranks_file, n_vocab)
    ranks = _read_ranks(ranks_file)
    if sorted(ranks.values()) != list(range(special.eot)):
        raise CheckpointError(
            ranks_file,
            "",
            expected=f"text tokens 0 to {special.eot - 1} for a vocabulary of {n_vocab}",
            found=f"{len(ranks)} tokens",
        )
    # timestamps are part of a transcript, so they are not special; Hugging Face's files have them so too
    added = [
        AddedToken(id=token, content=name, is_special=token < special.timestamp_begin)
        for token, name in enumerate(special_token_names(special), start=special.eot)
    ]
    merges = ((_to_visible(left), _to_visible(right)) for left, right in _recover_merges(ranks_file, ranks))
    return format_tokenizer_json({_to_visible(token): rank for token, rank in ranks.items()}, merges, added)


def _read_ranks(file: Path) -> dict[bytes, int]:
    ranks: dict[bytes, int] = {}
    try:
        for line in file.read_text("ascii").splitlines():
            if line:
                token, rank = line.split()
                # not strict: the empty token of the multilingual file is written "="
                ranks[base64.b64decode(token)] = int(rank)
    except (OSError, ValueError) as error:
        raise CheckpointError(file, "", expected="lines of base64 and a rank", found=f"{error!r}") from error
    return ranks


def _recover_merges(file: Path, ranks: Mapping[bytes, int]) -> list[tuple[bytes, bytes]]:
    """The pair each token of two and more bytes was merged from, in the order of the merges.

    A rank file does not hold the pairs, but ranks are given in the order of the merges: a token's pair is the
    two parts that remain of its bytes after every earlier merge.
    """
    merges = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        if len(token) < 2:
            continue
        parts = _apply_merges(token, ranks, rank)
        if len(parts) != 2:
            raise CheckpointError(
                file, "", expected=f"token {rank} to be a merge of two earlier ones", found=f"{parts}"
            )
        merges.append((parts[0], parts[1]))
    return merges


def _apply_merges(token: bytes, ranks: Mapping[bytes, int], max_rank: int) -> list[bytes]:
    """The token's bytes after all merges of a rank under `max_rank`: b"the" -> [b"t", b"he"]."""
    parts = [token[n : n + 1] for n in range(len(token))]
    while len(parts) > 2:
        pairs = [ranks.get(left + right, max_rank) for left, right in itertools.pairwise(parts)]
        lowest = min(pairs)
        if lowest >= max_rank:
            break
        at = pairs.index(lowest)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts


def _to_visible(token: bytes) -> str:
    return "".join(map(BYTE_TO_UNICODE.__getitem__, token))
