"""A small openai-whisper model with random weights, and the same weights behind our sessions."""

from __future__ import annotations

import functools
import warnings
from pathlib import Path

import numpy as np
import torch
import whisper
from whisper.model import ModelDimensions, Whisper

from neuron_whisper.model.dims import WhisperDims
from neuron_whisper.target.interfaces import ProgramSpec
from neuron_whisper.target.reference.session import ReferenceSession
from neuron_whisper.text.special_tokens import SpecialTokens
from neuron_whisper.text.tiktoken_import import find_packaged_ranks, tokenizer_json_from_tiktoken
from neuron_whisper.text.tokenizer import Tokenizer
from tests.support.tiny_program import parameters

SIZES = {
    "n_audio_ctx": 1500,
    "n_audio_state": 64,
    "n_audio_head": 2,
    "n_audio_layer": 1,
    "n_text_ctx": 448,
    "n_text_state": 64,
    "n_text_head": 2,
    "n_text_layer": 2,
}


def small_dims(n_vocab: int, n_mels: int = 80) -> WhisperDims:
    return WhisperDims(n_mels=n_mels, n_vocab=n_vocab, **SIZES)


@functools.lru_cache(maxsize=4)
def openai_model(n_vocab: int, n_mels: int = 80, seed: int = 0) -> Whisper:
    """openai-whisper's own model. Random weights speak nonsense, but by all of its rules."""
    dims = small_dims(n_vocab, n_mels)
    model = Whisper(ModelDimensions(**{name: getattr(dims, name) for name in dims.__slots__}))
    weights = {name: torch.from_numpy(value) for name, value in parameters(dims, seed).items()}
    model.load_state_dict(weights, strict=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves its vocabulary file open
        whisper.tokenizer.get_tokenizer(model.is_multilingual, num_languages=model.num_languages)
    return model.eval()


def small_spec(n_vocab: int, n_mels: int = 80, *, slots: int = 2, beams: int = 1) -> ProgramSpec:
    return ProgramSpec(
        dims=small_dims(n_vocab, n_mels),
        special=SpecialTokens.from_vocab_size(n_vocab),
        slots=slots,
        beams=beams,
        encode_batch=1,
        prompt_buckets=(4, 64, 256),
        text_context=448,
        choices=2 * beams + 1,
        align_buckets=(64,),
        alignment_heads=((0, 0), (1, 1)),
    )


def reference_session(n_vocab: int, n_mels: int = 80, seed: int = 0, *, beams: int = 1) -> ReferenceSession:
    dims = small_dims(n_vocab, n_mels)
    weights = {name: torch.from_numpy(value) for name, value in parameters(dims, seed).items()}
    return ReferenceSession(small_spec(n_vocab, n_mels, beams=beams), [weights])


def tokenizer(n_vocab: int, directory: Path) -> Tokenizer:
    file = directory / f"tokenizer-{n_vocab}.json"
    if not file.exists():
        file.write_text(tokenizer_json_from_tiktoken(find_packaged_ranks(n_vocab >= 51865), n_vocab), encoding="utf-8")
    return Tokenizer.from_file(file, n_vocab)


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    """Samples that swell and fade, so that windows differ."""
    t = np.arange(int(seconds * 16000)) / 16000
    swell = 0.5 + 0.5 * np.sin(2 * np.pi * t / 7)
    return (np.random.default_rng(seed).standard_normal(len(t)) * 0.1 * swell).astype(np.float32)
