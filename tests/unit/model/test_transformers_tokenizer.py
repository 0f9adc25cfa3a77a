"""Checkpoints without tokenizer.json: which files stand for it, and what is said where they do not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from neuron_whisper.errors import CheckpointError
from neuron_whisper.model.transformers_tokenizer import has_slow_tokenizer, tokenizer_json_from_transformers


def test_a_slow_tokenizer_is_a_vocabulary_and_its_merges(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").touch()
    assert not has_slow_tokenizer(tmp_path)
    (tmp_path / "merges.txt").touch()
    assert has_slow_tokenizer(tmp_path)


def test_a_missing_transformers_is_named_with_its_install_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(CheckpointError) as refused:
        tokenizer_json_from_transformers(tmp_path)
    assert refused.value.file == tmp_path
    assert 'pip install "neuron-whisper[compile]"' in str(refused.value.expected)
