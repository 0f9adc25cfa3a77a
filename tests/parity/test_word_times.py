"""Word times of whole models against openai-whisper's."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import whisper
import whisper.timing
from whisper.model import ModelDimensions, Whisper

from neuron_whisper.artifact.cache_directory import default_cache_directory
from neuron_whisper.audio.load import load_audio
from neuron_whisper.audio.mel import LogMel
from neuron_whisper.decode.alignment import (
    WordTiming,
    align_words,
    build_alignment_tokens,
)
from neuron_whisper.errors import BuildError
from neuron_whisper.model.checkpoint import open_checkpoint
from neuron_whisper.model.dims import default_alignment_heads
from neuron_whisper.model.sources import resolve_model
from neuron_whisper.target.interfaces import ProgramSpec
from neuron_whisper.target.reference.session import ReferenceSession
from neuron_whisper.text.special_tokens import SpecialTokens
from neuron_whisper.text.tokenizer import Tokenizer
from neuron_whisper.text.word_splitting import OPENAI
from tests.support.openai_model import noise, openai_model, reference_session, tokenizer
from tests.support.paths import SPEECH

ENGLISH, MULTILINGUAL = 51864, 51865


ENGLISH, MULTILINGUAL = 51864, 51865


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tokenizers")


def align_with_openai(model: Whisper, heads: tuple[tuple[int, int], ...], our_tokenizer: Any, *rest: Any) -> list[Any]:
    """openai-whisper's find_alignment with the heads named."""
    mask = torch.zeros(model.dims.n_text_layer, model.dims.n_text_head, dtype=torch.bool)
    for layer, head in heads:
        mask[layer, head] = True
    model.register_buffer("alignment_heads", mask.to_sparse(), persistent=False)
    return list(whisper.timing.find_alignment(model, our_tokenizer, *rest))


def openai_tokenizer(n_vocab: int, language: str = "en") -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves its vocabulary file open
        return whisper.tokenizer.get_tokenizer(n_vocab != ENGLISH, language=language, task="transcribe")


def compare_words(found: list[WordTiming], expected: list[Any]) -> list[float]:
    """The differences of all times, the words being the same."""
    assert [word.text for word in found] == [word.word for word in expected]
    pairs = zip(found, expected, strict=True)
    return [abs(a - b) for f, e in pairs for a, b in ((f.start_s, e.start), (f.end_s, e.end))]


@pytest.mark.parametrize("n_vocab", [ENGLISH, MULTILINGUAL])
def test_word_times_of_a_model_are_openais(n_vocab: int, directory: Path) -> None:
    model, session, our_tokenizer = openai_model(n_vocab), reference_session(n_vocab), tokenizer(n_vocab, directory)
    for seed, n_frames in ((1, 3000), (2, 801), (3, 7)):
        mel = LogMel.from_samples(noise(30, seed), 80).cut_window(0)
        text = np.random.default_rng(seed).integers(0, 50000, 50).tolist()
        expected = align_with_openai(
            model, ((0, 0), (1, 1)), openai_tokenizer(n_vocab), text, torch.from_numpy(mel), n_frames
        )
        session.encode([0], mel[None])
        aligned = build_alignment_tokens(our_tokenizer, text, language="en", task="transcribe", max_tokens=64)
        (found,) = align_words(
            session.align(0, aligned.tokens),
            aligned.first_row,
            [text],
            [-1.0] * 50,
            our_tokenizer,
            language="en",
            n_frames=n_frames,
            splitting=OPENAI,
        )
        assert compare_words(found, expected) == [0.0] * (2 * len(expected))
    session.close()


@pytest.mark.skipif(
    not (SPEECH / "manifest.tsv").exists(),
    reason="no recordings beside the repository: real words timed as by openai-whisper are not proved",
)
def test_word_times_of_real_speech_are_openais() -> None:
    try:
        checkpoint = open_checkpoint(resolve_model("tiny.en", cache=default_cache_directory(), offline=True))
    except BuildError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"tiny.en was not fetched ({error}): real words timed as by openai-whisper are not proved")
    assert checkpoint.tokenizer_file is not None
    dims = checkpoint.dims
    heads = checkpoint.alignment_heads or default_alignment_heads(dims)
    weights = {
        name: torch.from_numpy(np.array(checkpoint.tensor(name), np.float32)) for name in checkpoint.parameter_names
    }
    model = Whisper(ModelDimensions(**{name: getattr(dims, name) for name in dims.__slots__}))
    model.load_state_dict(weights, strict=False)
    our_tokenizer = Tokenizer.from_file(checkpoint.tokenizer_file, dims.n_vocab)
    session = ReferenceSession(
        ProgramSpec(
            dims=dims,
            special=SpecialTokens.from_vocab_size(dims.n_vocab),
            slots=1,
            beams=1,
            encode_batch=1,
            prompt_buckets=(4,),
            text_context=448,
            choices=1,
            align_buckets=(64,),
            alignment_heads=heads,
        ),
        [weights],
    )
    clip = load_audio(SPEECH / "en_jfk.flac")
    mel = LogMel.from_samples(clip.samples, dims.n_mels)
    window, n_frames = mel.cut_window(0), mel.content_frames
    text = our_tokenizer.encode(
        " And so my fellow Americans, ask not what your country can do for you, ask what you can do for your country."
    )
    expected = align_with_openai(
        model.eval(), heads, openai_tokenizer(dims.n_vocab), text, torch.from_numpy(window), n_frames
    )
    session.encode([0], window[None])
    aligned = build_alignment_tokens(our_tokenizer, text, language="en", task="transcribe", max_tokens=64)
    (found,) = align_words(
        session.align(0, aligned.tokens),
        aligned.first_row,
        [text],
        [-0.1] * len(text),
        our_tokenizer,
        language="en",
        n_frames=n_frames,
        splitting=OPENAI,
    )
    session.close()
    differences = compare_words(found, expected)
    assert np.median(differences) == 0
    assert max(differences) <= 0.02, "float32 twice: the same to a frame"
    by_word = {word.text: word for word in found}
    assert by_word[" ask"].start_s == pytest.approx(8.2, abs=0.4), "the second one"
    assert by_word[" country"].end_s == pytest.approx(10.5, abs=0.4)
