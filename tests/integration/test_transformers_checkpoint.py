"""Checkpoints as transformers saves them: the tokenizer of one without tokenizer.json, and its generation settings."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import transformers

from neuron_whisper.errors import CheckpointError
from neuron_whisper.model.checkpoint import open_checkpoint
from neuron_whisper.text.tiktoken_import import find_packaged_ranks, tokenizer_json_from_tiktoken
from neuron_whisper.text.tokenizer import Tokenizer
from neuron_whisper.text.vocabulary import read_vocabulary

N_VOCAB = 51864
N_MELS = 80
SENTENCE = " And so, my fellow Americans: ask not <|endoftext|> what, 1961 café 日本"


@pytest.fixture(scope="module")
def fine_tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with its slow tokenizer, saved by transformers and its own generation settings."""
    directory = tmp_path_factory.mktemp("fine-tuned")
    config = transformers.WhisperConfig(
        vocab_size=N_VOCAB,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_source_positions=20,
    )
    model = transformers.WhisperForConditionalGeneration(config)
    model.generation_config.suppress_tokens = [1, 2]
    setattr(model.generation_config, "alignment_heads", [[0, 1]])  # noqa: B010 - unknown to its type
    model.save_pretrained(directory)
    ranks = tokenizer_json_from_tiktoken(find_packaged_ranks(False), N_VOCAB)
    (directory / "tokenizer.json").write_text(ranks, encoding="utf-8")
    (directory / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "WhisperTokenizer"}))
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    tokenizer.save_vocabulary(str(directory))
    tokenizer.save_pretrained(directory)
    (directory / "tokenizer.json").unlink()
    assert (directory / "merges.txt").is_file()
    return directory


def make_tokenizer_json(directory: Path) -> str:
    text = read_vocabulary(directory, n_rows=N_VOCAB, n_mels=N_MELS).to_tokenizer_json()
    assert text is not None
    return text


@pytest.fixture(scope="module")
def converted(fine_tuned: Path, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    path = tmp_path_factory.mktemp("converted") / "tokenizer.json"
    path.write_text(make_tokenizer_json(fine_tuned), encoding="utf-8")
    return Tokenizer.from_file(path, N_VOCAB)


def test_a_slow_tokenizer_gives_the_same_tokens_as_the_model_it_was_trained_from(
    converted: Tokenizer, tmp_path: Path
) -> None:
    (tmp_path / "tokenizer.json").write_text(tokenizer_json_from_tiktoken(find_packaged_ranks(False), N_VOCAB))
    original = Tokenizer.from_file(tmp_path / "tokenizer.json", N_VOCAB)
    tokens = converted.encode(SENTENCE)
    assert tokens == original.encode(SENTENCE)
    assert converted.decode(tokens) == SENTENCE
    assert [converted.decode_single_token_bytes(token) for token in range(N_VOCAB)] == [
        original.decode_single_token_bytes(token) for token in range(N_VOCAB)
    ]


def test_generation_settings_are_read_with_the_checkpoint(fine_tuned: Path) -> None:
    checkpoint = open_checkpoint(fine_tuned)
    assert checkpoint.tokenizer_file is None
    assert checkpoint.suppress_tokens == (1, 2)
    assert checkpoint.alignment_heads == ((0, 1),)
    assert {"vocab.json", "merges.txt"} <= checkpoint.compute_digests().keys()


def test_the_tokens_that_transformers_suppresses_are_the_default_ones(fine_tuned: Path, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(make_tokenizer_json(fine_tuned), encoding="utf-8")
    (tmp_path / "generation_config.json").write_bytes((fine_tuned / "generation_config.json").read_bytes())
    tokenizer = Tokenizer.from_file(tmp_path / "tokenizer.json", N_VOCAB)
    assert tokenizer.default_suppress_tokens == (1, 2)


def test_a_damaged_slow_tokenizer_is_a_checkpoint_error(fine_tuned: Path, tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text("[")
    (tmp_path / "merges.txt").write_bytes((fine_tuned / "merges.txt").read_bytes())
    with pytest.raises(CheckpointError) as refused:
        make_tokenizer_json(tmp_path)
    assert refused.value.file == tmp_path / "vocab.json"


def test_compiling_does_not_load_transformers() -> None:
    code = "import sys, neuron_whisper.build; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
