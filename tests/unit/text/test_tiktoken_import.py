"""The tokenizer.json made from openai-whisper's rank files."""

from __future__ import annotations

import base64
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import tokenizers

from neuron_whisper.errors import CheckpointError
from neuron_whisper.text.tiktoken_import import find_packaged_ranks, tokenizer_json_from_tiktoken
from tests.support.paths import ROOT

ENGLISH, MULTILINGUAL, LARGE_V3 = 51864, 51865, 51866


@pytest.fixture(scope="module")
def rank_files() -> dict[int, Path]:
    try:
        return {n_vocab: find_packaged_ranks(n_vocab != ENGLISH) for n_vocab in (ENGLISH, MULTILINGUAL, LARGE_V3)}
    except CheckpointError as error:
        pytest.skip(f"that OpenAI's tokenizer can be made from its rank file is not proved: {error}")


@pytest.mark.parametrize("n_vocab", [ENGLISH, MULTILINGUAL, LARGE_V3])
def test_a_made_file_gives_the_library_openais_ids(n_vocab: int, rank_files: dict[int, Path]) -> None:
    whisper = pytest.importorskip(
        "whisper.tokenizer", reason="openai-whisper is not installed: equality with it is not proved"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves its rank file open
        n_languages = 100 if n_vocab == LARGE_V3 else 99
        reference = whisper.get_tokenizer(n_vocab != ENGLISH, num_languages=n_languages)
    library = tokenizers.Tokenizer.from_str(tokenizer_json_from_tiktoken(rank_files[n_vocab], n_vocab))
    assert library.get_vocab_size() == n_vocab
    assert library.token_to_id("<|30.00|>") == n_vocab - 1
    text = "It's 12 o'clock, 日本 \n"
    assert library.encode(text).ids == reference.encoding.encode_ordinary(text)
    assert library.decode(library.encode(text).ids) == text


def test_a_made_file_is_the_same_every_time(rank_files: dict[int, Path]) -> None:
    one, other = (tokenizer_json_from_tiktoken(rank_files[ENGLISH], ENGLISH) for _ in range(2))
    assert one == other


def test_ranks_of_another_vocabulary_are_refused(rank_files: dict[int, Path]) -> None:
    with pytest.raises(CheckpointError, match="50256 tokens"):
        tokenizer_json_from_tiktoken(rank_files[ENGLISH], MULTILINGUAL)


def test_a_token_that_no_merge_makes_is_refused(tmp_path: Path) -> None:
    # 50,256 ranks, but the first token of several bytes has nothing to be merged from
    tokens = [bytes([n]) for n in range(256)] + [f"{n:06d}".encode() for n in range(50000)]
    lines = [f"{base64.b64encode(token).decode()} {rank}" for rank, token in enumerate(tokens)]
    (tmp_path / "ranks").write_text("\n".join(lines))
    with pytest.raises(CheckpointError, match="token 256 to be a merge of two earlier ones"):
        tokenizer_json_from_tiktoken(tmp_path / "ranks", ENGLISH)


@pytest.mark.parametrize("content", ["", "IQ==", "IQ== x", "I 0", "日本 0"])
def test_a_file_that_holds_no_ranks_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "ranks").write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointError) as caught:
        tokenizer_json_from_tiktoken(tmp_path / "ranks", ENGLISH)
    assert caught.value.file == tmp_path / "ranks"


def test_the_ranks_are_found_without_importing_openai_whisper(rank_files: dict[int, Path]) -> None:
    script = (
        "import sys; from neuron_whisper.text.tiktoken_import import find_packaged_ranks;"
        "print(find_packaged_ranks(True).name, find_packaged_ranks(False).name, {'whisper', 'torch'} & {*sys.modules})"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.split() == ["multilingual.tiktoken", "gpt2.tiktoken", "set()"]


def test_another_package_called_whisper_is_not_taken_for_openais(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "whisper").mkdir()
    (tmp_path / "whisper" / "__init__.py").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "whisper", raising=False)
    with pytest.raises(CheckpointError, match="pip install --no-deps openai-whisper"):
        find_packaged_ranks(True)
